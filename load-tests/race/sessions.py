"""ONNX Runtime sessions of tasks' model files, as the contenders in Python make them."""

import onnxruntime


def session(path: str, threads: int, mapped: bool = False, spin: bool = True) -> onnxruntime.InferenceSession:
    """A session of its own. `mapped` keeps the weights in the file's pages, which sessions share, unpacked."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if mapped:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if not spin:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
