//! Element types of tensors that are read where they lie.

use std::fmt::Debug;

use half::f16;
use ort::sys::ONNXTensorElementDataType;
use ort::value::PrimitiveTensorElementType;

/// An element that ONNX Runtime knows.
pub trait Element: PrimitiveTensorElementType + Copy + Debug + Send + Sync + 'static {
    /// What ONNX Runtime calls the type.
    const TYPE: ONNXTensorElementDataType;
}

impl Element for f32 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

impl Element for f16 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
}

impl Element for u8 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
}

impl Element for i8 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
}

impl Element for i64 {
    const TYPE: ONNXTensorElementDataType = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
}
