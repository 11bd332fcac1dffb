//! Images that are decoded and changed at every epoch.

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::augment::mix::{Mixed, mix};
use super::augment::options::AugmentOptions;
use super::dataset::image::Image;
use super::dataset::left_out::LeftOut;
use super::minibatch::{Draw, Minibatch};
use super::picture::picture;
use super::truth::Truths;
use crate::image::{Limits, Preprocessing};

/// Images that are decoded and changed at every epoch.
#[derive(Clone, Debug)]
pub struct Changing {
    /// Those that can be read.
    pub images: Vec<Image>,
    /// Class of each.
    pub classes: Vec<usize>,
    /// What the classes mean.
    pub truths: Truths,
    /// Files that cannot be read, with the reason.
    pub unreadable: Vec<LeftOut>,
    preprocessing: Preprocessing,
    options: AugmentOptions,
    limits: Limits,
}

impl Changing {
    /// Decodes every image once, to know which can be read.
    pub fn new(
        images: &[Image],
        preprocessing: &Preprocessing,
        options: AugmentOptions,
        limits: Limits,
    ) -> Self {
        let tried: Vec<_> =
            images.par_iter().map(|image| picture(&image.path, &limits).map(|_| ())).collect();
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for (image, tried) in images.iter().zip(tried) {
            match tried {
                Ok(()) => readable.push(image.clone()),
                Err(reason) => unreadable.push(LeftOut::failed(&image.path, &reason)),
            }
        }
        let classes = readable.iter().map(|image| image.class).collect();
        let preprocessing = preprocessing.clone();
        let truths = Truths::default();
        Self { images: readable, preprocessing, options, classes, truths, unreadable, limits }
    }

    /// The drawn images, changed, under `targets` for each; mixing changes the targets too.
    ///
    /// # Errors
    /// When an image can no longer be read.
    pub fn batch(&self, draw: &Draw<'_>, mut targets: Vec<f32>) -> Result<Minibatch> {
        let one = |&index: &usize| {
            let path = &self.images[index].path;
            let image = picture(path, &self.limits).with_context(|| path.display().to_string())?;
            self.options.apply(&image, &self.preprocessing, &mut draw.chance.image(index))
        };
        let images: Vec<Vec<f32>> = draw.indices.par_iter().map(one).collect::<Result<_>>()?;
        let (count, side) = (images.len(), self.preprocessing.image_size as usize);
        let mut values = images.concat();
        let mixed = Mixed { pixels: &mut values, targets: &mut targets, count, side };
        mix(&self.options, mixed, &mut draw.chance.batch(draw.number));
        let classes = draw.indices.iter().map(|&i| self.classes[i]).collect();
        Ok(Minibatch { shape: vec![count, 3, side, side], values, targets, classes })
    }
}
