//! What all trainings of a process share.

use std::sync::Arc;

use super::data::features::Features;
use crate::image::Limits;
use crate::runtime::Resident;

/// A backbone, and how images reach it. Cheap to clone.
#[derive(Clone)]
pub struct Setup {
    /// The frozen backbone on its device.
    pub resident: Resident,
    /// What an image may cost, as for the server.
    pub limits: Limits,
    /// What frozen blocks gave for images of earlier trainings, where it is kept.
    pub features: Option<Arc<Features>>,
}

impl Setup {
    /// A backbone with the server's default limits; nothing is kept between trainings.
    pub fn new(resident: Resident) -> Self {
        Self { resident, limits: Limits::default(), features: None }
    }
}
