# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# The lit suite: IR tests (.mlir) and tests of the tools (.test). Read through lit.site.cfg.py of a build folder.
import os
import shutil

import lit.formats
from lit.llvm import llvm_config

config.name = "ciuic"
config.test_format = lit.formats.ShTest(not llvm_config.use_lit_shell)
config.suffixes = [".mlir", ".test"]
config.excludes = ["CMakeLists.txt", "README.md", "Inputs", "e2e", "models", "fuzz"]
config.test_source_root = config.ciuic_source / "test"
config.test_exec_root = config.ciuic_build / "test"

llvm_config.with_environment("PATH", [str(config.ciuic_build / "bin"), config.llvm_tools], append_path=True)
config.substitutions.append(("%python", config.python))
config.substitutions.append(("%source", str(config.ciuic_source)))
config.substitutions.append(("%build", str(config.ciuic_build)))
config.substitutions.append(("%models", str(config.ciuic_source / "test" / "models")))
config.substitutions.append(("%tools", str(config.ciuic_source / "tools")))

config.available_features.add("runtime")
if config.has_compiler:
    config.available_features.add("compiler")
if config.sanitized:
    config.available_features.add("sanitized")
if shutil.which("ptxas", path=os.environ.get("PATH", "") + ":/usr/local/cuda/bin"):
    config.available_features.add("ptxas")
    llvm_config.with_environment("PATH", ["/usr/local/cuda/bin"], append_path=True)
