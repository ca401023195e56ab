// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "runtime/device/cuda/VendorLibrary.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>
#include <glob.h>
#include <string>
#include <vector>

namespace ciuic::device::cuda {

/// Full names first, those that the loader resolves itself among them.
static std::vector<std::string> candidates(std::initializer_list<const char *> names,
                                           const char *package) {
  std::vector<std::string> list;
  auto add = [&](const std::string &folder) {
    for (const char *name : names) {
      list.push_back(folder.empty() ? name : folder + "/" + name);
    }
  };
  if (const char *given = std::getenv("CIUIC_CUDA_LIBS")) {
    std::string folders = given;
    for (size_t at = 0; at <= folders.size();) {
      size_t end = std::min(folders.find(':', at), folders.size());
      if (end > at) {
        add(folders.substr(at, end - at));
      }
      at = end + 1;
    }
  }
  add("");
  add("/usr/local/cuda/lib64");
  std::string environment;
  if (const char *active = std::getenv("VIRTUAL_ENV")) {
    environment = std::string(active) + "/lib/python3*/site-packages";
  }
  for (const std::string &packages :
       {environment, std::string("/usr/local/lib/python3*/dist-packages"),
        std::string("/usr/local/lib/python3*/site-packages"),
        std::string("/usr/lib/python3*/dist-packages")}) {
    for (const std::string &folder :
         {std::string("/nvidia/cu13/lib"), std::string("/nvidia/") + package + "/lib"}) {
      glob_t found = {};
      if (!packages.empty() && ::glob((packages + folder).c_str(), 0, nullptr, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; ++i) {
          add(found.gl_pathv[i]);
        }
      }
      ::globfree(&found);
    }
  }
  return list;
}

void *openVendorLibrary(std::initializer_list<const char *> names, const char *package) {
  for (const std::string &name : candidates(names, package)) {
    if (void *library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      return library;
    }
  }
  return nullptr;
}

} // namespace ciuic::device::cuda
