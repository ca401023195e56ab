// RUN: ciuic-opt %s --pass-pipeline='builtin.module(func.func(ciuic-split-reductions))' | FileCheck %s

// Adjoining dims up to the last are one: [2, 3, 4·5] over its last dim.
// CHECK-LABEL: func.func @adjoining
// CHECK: %[[ROWS:.*]] = graph.reshape %arg0 : tensor<2x3x4x5xf32> -> tensor<2x3x20xf32>
// CHECK: %[[SUM:.*]] = graph.reduce sum %[[ROWS]] dims [2] : tensor<2x3x20xf32> -> tensor<2x3x1xf32>
// CHECK: graph.reshape %[[SUM]] : tensor<2x3x1xf32> -> tensor<2x3x1x1xf32>
func.func @adjoining(%x: tensor<2x3x4x5xf32>) -> tensor<2x3x1x1xf32> {
  %y = graph.reduce sum %x dims [2, 3] : tensor<2x3x4x5xf32> -> tensor<2x3x1x1xf32>
  return %y : tensor<2x3x1x1xf32>
}

// With a kept dim between, two reductions: columns, then rows.
// CHECK-LABEL: func.func @apart
// CHECK: %[[COLUMNS:.*]] = graph.reduce mean %arg0 dims [0] : tensor<2x3x4xf32> -> tensor<1x3x4xf32>
// CHECK: graph.reduce mean %[[COLUMNS]] dims [2] : tensor<1x3x4xf32> -> tensor<1x3x1xf32>
func.func @apart(%x: tensor<2x3x4xf32>) -> tensor<1x3x1xf32> {
  %y = graph.reduce mean %x dims [0, 2] : tensor<2x3x4xf32> -> tensor<1x3x1xf32>
  return %y : tensor<1x3x1xf32>
}

// Does nothing: one dim, or dims before the last.
// CHECK-LABEL: func.func @kept
// CHECK-NEXT: graph.reduce max %arg0 dims [2]
// CHECK-NEXT: graph.reduce max %arg0 dims [0, 1]
func.func @kept(%x: tensor<2x3x4xf32>) -> (tensor<2x3x1xf32>, tensor<1x1x4xf32>) {
  %y = graph.reduce max %x dims [2] : tensor<2x3x4xf32> -> tensor<2x3x1xf32>
  %z = graph.reduce max %x dims [0, 1] : tensor<2x3x4xf32> -> tensor<1x1x4xf32>
  return %y, %z : tensor<2x3x1xf32>, tensor<1x1x4xf32>
}
