// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef CIUIC_GRAPH
#define CIUIC_GRAPH
include "ir/Graph/GraphBase.td"
include "ir/Graph/GraphOps.td"
include "ir/Graph/GraphStructuredOps.td"
include "ir/Graph/GraphKernelOps.td"
#endif
