//! Models that are known and not supported, so that an error can name them.

use std::path::Path;

use super::error::Error;

/// A family, and parts of tensor names which together only it has.
type Family = (&'static str, &'static [&'static str]);

/// The first that fits counts: those that others contain come first.
const FAMILIES: &[Family] = &[
    ("a LoRA adapter, which is not a whole model,", &["lora_"]),
    ("SAM (Segment Anything)", &["mask_decoder."]),
    ("SAM (Segment Anything)", &["prompt_encoder."]),
    ("SAM's image encoder", &["attn.rel_pos_h", "neck."]),
    ("MViT, or another ViT with decomposed relative positions,", &["attn.rel_pos_h"]),
    ("BLIP", &["Qformer"]),
    ("BLIP", &["text_decoder."]),
    ("BLIP", &["self_attn.qkv."]),
    ("a masked autoencoder's (MAE) pre-training checkpoint, encoder and decoder,", &["decoder_blocks."]),
    ("a masked autoencoder's (MAE) pre-training checkpoint, encoder and decoder,", &["decoder_embed"]),
    (
        "a masked autoencoder's (MAE) pre-training checkpoint, encoder and decoder,",
        &["decoder.decoder_layers."],
    ),
    ("SwinV2", &["cpb_mlp."]),
    ("SwinV2", &["continuous_position_bias_mlp."]),
    (
        "Swin in torchvision's naming (timm's and Hugging Face's are read)",
        &["features.1.0.attn.relative_position"],
    ),
    ("BEiT or data2vec", &["^blocks.0.attn.relative_position_bias_table"]),
    ("BEiT or data2vec", &["relative_position_bias.relative_position_bias_table"]),
    ("BEiT or data2vec", &["rel_pos_bias.relative_position_bias_table"]),
    ("BEiT", &["encoder.layer.0.lambda_1"]),
    ("BEiT-3", &["beit3."]),
    ("DINOv3", &["storage_tokens"]),
    ("DINOv3", &["rope_embed."]),
    ("DINOv3", &["layer.0.attention.q_proj.", "layer_scale1."]),
    ("EVA02", &["mlp.fc1_g."]),
    ("EVA02", &["mlp.w1.", "mlp.w2.", "attn.q_proj."]),
    ("EVA02", &["mlp.w1.", "mlp.w2.", "rope."]),
    ("EVA", &["^blocks.0.attn.q_bias"]),
    ("a ViT with SwiGLU in its MLPs (DINOv2's giant for one)", &["mlp.w12."]),
    ("a ViT with SwiGLU in its MLPs (DINOv2's giant for one)", &["mlp.weights_in."]),
    ("AIMv2", &["preprocessor.patchifier."]),
    ("RADIO", &["radio_model."]),
    ("ConvNeXt", &["stages.0.blocks.0.conv_dw."]),
    ("ConvNeXt", &["stages.0.0.dwconv."]),
    ("ConvNeXt", &["stages.0.layers.0.dwconv."]),
    ("ConvNeXt in torchvision's naming", &["features.1.0.layer_scale"]),
    ("DaViT", &[".cpe1."]),
    ("DaViT or Florence-2", &["channel_block."]),
    ("MaxViT", &["attn_grid."]),
    ("MaxViT", &["grid_attention"]),
    ("MaxViT", &["grid_attn"]),
    ("PVT", &["patch_embed1.proj."]),
    ("PVT", &["mlp.dwconv."]),
    ("PVT or Twins", &["attn.sr."]),
    ("Hiera", &["pos_embed_spatial"]),
    ("Hiera", &["pos_embed_win"]),
    ("Hiera", &["mask_unit"]),
    ("Hiera", &["^blocks.0.attn.qkv.", "^blocks.2.proj."]),
    ("CvT in its authors' naming (Hugging Face's is read)", &["attn.conv_proj_q."]),
    ("CaiT", &["blocks_token_only."]),
    ("XCiT", &["attn.temperature", "local_mp."]),
    ("LeViT", &["attention_biases"]),
    ("ConViT", &["gating_param"]),
    ("MobileViT", &["mobilevit."]),
    ("MobileViT", &["conv_kxk."]),
    ("TNT", &["pixel_embed."]),
    ("PiT", &["transformers.0.blocks."]),
    ("CrossViT", &["fusion."]),
    ("CLIP in OpenAI's own naming (Hugging Face's and timm's are read)", &["visual.class_embedding"]),
    ("CLIP in OpenAI's own naming (Hugging Face's and timm's are read)", &["transformer.resblocks."]),
    ("a CLIP with a ResNet", &["visual.layer1.0."]),
    ("ViT in torchvision's naming (timm's and Hugging Face's are read)", &["encoder_layer_0."]),
    ("a video model", &["temporal_embed"]),
    ("a video model", &["time_embed", "patch_embed."]),
    ("Stable Diffusion", &["model.diffusion_model."]),
    ("DETR", &["transformer.decoder.layers.0.", "class_embed."]),
    ("YOLO", &["model.0.conv."]),
    ("ResNet", &["layer1.0.conv1."]),
    ("ResNet", &["resnet.embedder."]),
    ("ResNet", &["stages.0.layers.0.layer.0.convolution."]),
    ("RegNet", &["s1.b1.conv1."]),
    ("EfficientNet or MobileNet", &["conv_stem."]),
    ("EfficientNet", &["_conv_stem."]),
    ("EfficientNet or MobileNet in torchvision's naming", &["features.0.0.weight", "features.1."]),
    ("DenseNet", &["denseblock1."]),
    ("VGG or AlexNet", &["features.0.weight", "classifier.1."]),
    ("a language model", &["word_embeddings."]),
    ("a language model", &["lm_head."]),
    ("a language model", &["embed_tokens.", "layers.0.self_attn."]),
];

/// Signs that tell of the whole model wherever they stand; all others tell of the tower they stand in.
const OF_THE_WHOLE: [&str; 2] = ["decoder", "lora_"];

/// Refuses a checkpoint of a known family by its tensors' names: those of the image tower, from where it begins,
/// and those beside it.
///
/// # Errors
/// [`Error::Unsupported`] with the first tensor that shows it.
pub(super) fn refuse_names(inside: &[String], outside: &[String], path: &Path) -> Result<(), Error> {
    let shows = |name: &str, sign: &str| match sign.strip_prefix('^') {
        Some(start) => name.starts_with(start),
        None => name.contains(sign),
    };
    for (family, signs) in FAMILIES {
        let find = |sign: &&'static str| {
            let of_the_whole = OF_THE_WHOLE.iter().any(|word| sign.contains(word));
            let beside = outside.iter().filter(|_| of_the_whole);
            inside.iter().chain(beside).find(|name| shows(name, sign))
        };
        let found: Option<Vec<&String>> = signs.iter().map(find).collect();
        if let Some(first) = found.and_then(|found| found.first().copied()) {
            return Err(Error::Unsupported {
                path: path.into(),
                family: (*family).into(),
                sign: first.clone(),
            });
        }
    }
    Ok(())
}

/// What Hugging Face calls the models that are read.
const MODEL_TYPES: [&str; 10] = [
    "vit",
    "deit",
    "clip",
    "clip_vision_model",
    "siglip",
    "siglip_vision_model",
    "dinov2",
    "dinov2_with_registers",
    "swin",
    "cvt",
];

/// Refuses a `model_type` of Hugging Face's that is not read.
///
/// # Errors
/// [`Error::Unsupported`] with it.
pub(super) fn refuse_model_type(model_type: &str, path: &Path) -> Result<(), Error> {
    if MODEL_TYPES.contains(&model_type) {
        return Ok(());
    }
    let family = match model_type {
        "swinv2" => "SwinV2",
        "beit" | "data2vec-vision" => "BEiT or data2vec",
        "vit_mae" => "a masked autoencoder's (MAE) pre-training checkpoint",
        "dinov3_vit" | "dinov3_convnext" => "DINOv3",
        "convnext" | "convnextv2" => "ConvNeXt",
        "resnet" => "ResNet",
        "sam" | "sam2" | "sam_vision_model" => "SAM (Segment Anything)",
        "pvt" | "pvt_v2" => "PVT",
        "hiera" => "Hiera",
        "siglip2" | "siglip2_vision_model" => "SigLIP 2 with patches of any number (NaFlex)",
        other => other,
    };
    let sign = format!("config.json: model_type {model_type:?}");
    Err(Error::Unsupported { path: path.into(), family: family.into(), sign })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the names are refused as.
    fn family(inside: &[&str], outside: &[&str]) -> Option<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        refuse_names(&owned(inside), &owned(outside), Path::new("x")).err().map(|e| e.to_string())
    }

    #[test]
    fn a_family_needs_all_of_its_signs() {
        assert!(
            family(&["blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight", "norm.weight"], &[]).is_none()
        );
        assert!(family(&["layers.0.blocks.0.attn.relative_position_bias_table"], &[]).is_none());
        let swin = family(&["layers.0.blocks.0.attn.cpb_mlp.0.weight"], &[]).unwrap();
        assert!(swin.contains("SwinV2") && swin.contains("cpb_mlp"), "{swin}");
    }

    #[test]
    fn what_stands_beside_the_image_tower_says_nothing_of_it_but_for_decoders() {
        assert!(
            family(&["pos_embed"], &["text.transformer.resblocks.0.ln_1.weight", "fusion.weight"]).is_none()
        );
        assert!(family(&["embeddings.cls_token"], &["decoder.decoder_layers.0.x"]).unwrap().contains("MAE"));
    }
}
