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
    /// Whether what is trained of the backbone, or beside it, stays on the device for an epoch. Heads alone learn on the host.
    pub stays_on_device: bool,
}

impl Setup {
    /// A backbone with the server's default limits; nothing is kept between trainings. States stay on a GPU, where every copy
    /// has a way to go.
    pub fn new(resident: Resident) -> Self {
        let stays_on_device = resident.device().is_apart();
        Self { resident, limits: Limits::default(), features: None, stays_on_device }
    }
}
