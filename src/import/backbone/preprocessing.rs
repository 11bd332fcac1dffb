//! How bytes become pixels, from the files beside the weights, the family, or the request; never a guess.

use super::config_files::{Preprocessor, PretrainedConfig, Size, preprocessor};
use super::error::Error;
use super::family::Family;
use super::ledger::{Told, contradiction};
use super::request::{PreprocessingName, Request};
use super::translate::Translation;
use crate::image::{Interpolation, Preprocessing, ResizeMode};

/// Finds the preprocessing: the request's, else the files', which must agree, else the family's.
pub(super) fn find(translation: &mut Translation, request: &Request) -> Result<Preprocessing, Error> {
    let size = translation.architecture.shape().image_size() as u32;
    let told = match request.preprocessing {
        Some(name) => Told::flag(Some(named(name, size)), "preprocessing"),
        None => of_files(translation, request, size)?.or_else(|| of_family(translation.family, size)),
    };
    // SigLIP resamples bicubic, SigLIP 2, whose tensors are the same, bilinear.
    let told = told.ok_or_else(|| {
        Error::invalid(
            "preprocessing",
            "unknown",
            "neither the weights nor the files beside them tell; give clip, imagenet, half or siglip",
        )
    })?;
    let found = told.value.clone();
    translation.ledger.note("preprocessing", Some(told.with(words(&found))));
    Ok(found)
}

fn of_family(family: Family, size: u32) -> Option<Told<Preprocessing>> {
    match family {
        Family::Clip => Told::guess(named(PreprocessingName::Clip, size), "as CLIP's models have"),
        Family::Dinov2 => Told::guess(named(PreprocessingName::Imagenet, size), "as DINOv2's models have"),
        Family::Siglip | Family::Plain => None,
    }
}

fn of_files(
    translation: &Translation,
    request: &Request,
    size: u32,
) -> Result<Option<Told<Preprocessing>>, Error> {
    let hugging_faces = preprocessor(request)?.map(|file| from_preprocessor(&file, size)).transpose()?;
    let timms = translation.pretrained_cfg.as_ref().map(|config| from_timm(config, size)).transpose()?;
    let timms =
        Told::config(timms, "config.json: pretrained_cfg, and timm's defaults for what it leaves out");
    let hugging_faces = Told::config(hugging_faces, "preprocessor_config.json");
    match (hugging_faces, timms) {
        (Some(a), Some(b)) if a.value != b.value => {
            let (of_a, of_b) = (words(&a.value), words(&b.value));
            Err(contradiction("preprocessing", &a.with(of_a), &b.with(of_b)))
        }
        (a, b) => Ok(a.or(b)),
    }
}

/// A preprocessing in one line.
fn words(of: &Preprocessing) -> String {
    let resize = match of.resize {
        ResizeMode::ShortSideThenCrop { resize_to } => format!("short side to {resize_to}, centre crop"),
        ResizeMode::Squash => "both sides squashed".into(),
        ResizeMode::LongSidePad => "long side, padded".into(),
    };
    let filter = format!("{:?}", of.interpolation).to_lowercase();
    format!("{resize} to {size}, {filter}, mean {:?}, std {:?}", of.mean, of.std, size = of.image_size)
}

fn named(name: PreprocessingName, size: u32) -> Preprocessing {
    match name {
        PreprocessingName::Clip => Preprocessing::clip(size),
        PreprocessingName::Imagenet => Preprocessing::imagenet(size),
        PreprocessingName::Half => {
            Preprocessing { mean: [0.5; 3], std: [0.5; 3], ..Preprocessing::imagenet(size) }
        }
        PreprocessingName::Siglip => {
            Preprocessing { resize: ResizeMode::Squash, ..named(PreprocessingName::Half, size) }
        }
    }
}

fn from_timm(config: &PretrainedConfig, size: u32) -> Result<Preprocessing, Error> {
    let base = Preprocessing::imagenet(size);
    let interpolation = match config.interpolation.as_deref() {
        None | Some("bicubic") => Interpolation::Bicubic,
        Some("bilinear") => Interpolation::Bilinear,
        Some(other) => return Err(unsupported("interpolation", other)),
    };
    let crop = config.crop_pct.unwrap_or(0.875);
    let resize = match config.crop_mode.as_deref() {
        // timm: resize the short side to floor(size / crop_pct), then crop the centre.
        None | Some("center") => {
            ResizeMode::ShortSideThenCrop { resize_to: (f64::from(size) / crop).floor() as u32 }
        }
        Some("squash") if crop == 1.0 => ResizeMode::Squash,
        Some(other) => return Err(unsupported("crop_mode", &format!("{other} with crop_pct {crop}"))),
    };
    Ok(Preprocessing {
        resize,
        interpolation,
        mean: config.mean.unwrap_or(base.mean),
        std: config.std.unwrap_or(base.std),
        ..base
    })
}

fn from_preprocessor(file: &Preprocessor, size: u32) -> Result<Preprocessing, Error> {
    let base = Preprocessing::imagenet(size);
    let interpolation = match file.resample {
        // Pillow's numbers; 3 is what CLIP, DINOv2 and most ViTs say.
        Some(3) => Interpolation::Bicubic,
        Some(2) => Interpolation::Bilinear,
        Some(1) => Interpolation::Lanczos3,
        other => return Err(unsupported("resample", &format!("{other:?}"))),
    };
    if [file.do_resize, file.do_rescale, file.do_normalize].contains(&Some(false)) {
        return Err(unsupported("do_resize, do_rescale or do_normalize", "false"));
    }
    if let Some(factor) = file.rescale_factor.filter(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err(unsupported("rescale_factor", &factor.to_string()));
    }
    let missing = |field: &str| unsupported(field, "missing");
    Ok(Preprocessing {
        resize: resize_of(file, size)?,
        interpolation,
        mean: file.image_mean.ok_or_else(|| missing("image_mean"))?,
        std: file.image_std.ok_or_else(|| missing("image_std"))?,
        ..base
    })
}

/// How the image becomes a square of `size`; a crop keeps its share of the image when `size` is not the file's.
fn resize_of(file: &Preprocessor, size: u32) -> Result<ResizeMode, Error> {
    let of = |name: &str| file.image_processor_type.as_deref().is_some_and(|kind| kind.starts_with(name));
    if of("ConvNext") {
        return resize_of_convnext(file, size);
    }
    let of_clip = of("CLIP");
    let crop = file.crop_size.as_ref().and_then(Size::square).filter(|&side| side > 0);
    match (&file.size, file.do_center_crop, crop) {
        // A lone number is the short side to CLIP's processor, both sides to the others.
        (Some(Size::ShortSide { shortest_edge: edge }), Some(true), Some(crop)) => {
            Ok(scaled(*edge, crop, size))
        }
        (Some(Size::Side(edge)), Some(true), Some(crop)) if of_clip => Ok(scaled(*edge, crop, size)),
        // DeiT's squashes to a larger square and crops that, which is not the same as either mode here.
        (Some(square), None | Some(false), _) if square.square().is_some() => Ok(ResizeMode::Squash),
        other => Err(unsupported("size, do_center_crop and crop_size", &format!("{other:?}"))),
    }
}

/// `ConvNextImageProcessor`, which CvT has too: small images are cropped, large ones squashed.
fn resize_of_convnext(file: &Preprocessor, size: u32) -> Result<ResizeMode, Error> {
    const SQUASHED_FROM: u32 = 384;
    const CROP: f64 = 224.0 / 256.0;
    let (Some(Size::ShortSide { shortest_edge: edge } | Size::Side(edge)), None | Some(false)) =
        (&file.size, file.do_center_crop)
    else {
        return Err(unsupported(
            "size and do_center_crop",
            &format!("{:?}", (&file.size, file.do_center_crop)),
        ));
    };
    match edge {
        SQUASHED_FROM.. => Ok(ResizeMode::Squash),
        _ => {
            let resize_to = (f64::from(size) / file.crop_pct.unwrap_or(CROP)).floor() as u32;
            Ok(ResizeMode::ShortSideThenCrop { resize_to })
        }
    }
}

fn scaled(edge: u32, crop: u32, size: u32) -> ResizeMode {
    let resize_to = u64::from(size) * u64::from(edge) / u64::from(crop);
    ResizeMode::ShortSideThenCrop { resize_to: u32::try_from(resize_to).unwrap_or(u32::MAX) }
}

fn unsupported(field: &str, value: &str) -> Error {
    let reason = format!("{field} is not one of the combinations that are computed exactly");
    Error::invalid("preprocessing", value, reason)
}
