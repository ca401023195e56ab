# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnxruntime as the reference: float32 kernels as they are, without the fusion that changes quantised results."""
import onnxruntime


def session(path):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(path, inputs):
    """{name: array} of every output."""
    s = session(path)
    names = [o.name for o in s.get_outputs()]
    return dict(zip(names, s.run(names, inputs)))
