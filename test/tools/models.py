# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Unit tests of tools/models and tools/tally.py, without the network."""
import hashlib
import os
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools" / "models"), str(ROOT / "tools")]

import graph_text
import making
import packages
import tally
import weights

GRAPHS = sorted(p.parent.name for p in (ROOT / "test" / "models").glob("*/model.textproto*"))


class CommittedGraphs(unittest.TestCase):
    def test_every_source_has_its_graph(self):
        self.assertEqual(GRAPHS, sorted(weights.SOURCES))

    def test_layout_of_weights(self):
        for name in GRAPHS:
            path = graph_text.committed(name)
            model, end = graph_text.read_text(path), 0
            self.assertLess(path.stat().st_size, 1 << 20, name)
            for t in model.graph.initializer:
                size = graph_text.tensor_bytes(t)
                self.assertEqual(graph_text.is_external(t), size > graph_text.INLINE, t.name)
                if graph_text.is_external(t):
                    where = graph_text.reference(t)
                    self.assertEqual(int(where["offset"]) % graph_text.PAGE, 0)
                    self.assertGreaterEqual(int(where["offset"]), end)
                    self.assertEqual(int(where["length"]), size)
                    end = int(where["offset"]) + size

    def test_nodes_are_named_and_sorted(self):
        for name in GRAPHS:
            graph = graph_text.read_text(graph_text.committed(name)).graph
            known = {""} | {t.name for t in graph.initializer} | {i.name for i in graph.input}
            for node in graph.node:
                self.assertTrue(node.name)
                self.assertLessEqual(set(node.input), known, node.name)
                known |= set(node.output)
            self.assertLessEqual({o.name for o in graph.output}, known)


class TextForm(unittest.TestCase):
    def test_round_trip_keeps_all_but_weights(self):
        w = onnx.numpy_helper.from_array(np.ones((16, 32), np.float32), "w")
        shape = onnx.numpy_helper.from_array(np.array([-1, 2**40], np.int64))
        nodes = [onnx.helper.make_node("Constant", [], ["/c_output_0"], name="/c", value=shape),
                 onnx.helper.make_node("MatMul", ["x", "w"], ["/m_output_0"], name="/m"),
                 onnx.helper.make_node("Reshape", ["/m_output_0", "/c_output_0"], ["y"], name="/r")]
        info = [onnx.helper.make_tensor_value_info(n, 1, ["n", 16]) for n in ("x", "y")]
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", info[:1], info[1:], [w]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.textproto"
            graph_text.write_text(onnx.ModelProto.FromString(model.SerializeToString()), path)
            back = graph_text.read_text(path)
        self.assertEqual(list(back.graph.node), list(model.graph.node))
        self.assertEqual(back.graph.input, model.graph.input)
        self.assertTrue(graph_text.is_external(back.graph.initializer[0]))
        self.assertFalse(back.graph.initializer[0].raw_data)


class Weights(unittest.TestCase):
    def test_generated_are_repeatable_and_never_zero(self):
        source = weights.generated(1)
        for name, dims in (("a.weight", (64, 32)), ("b.bias", (64,)), ("c.running_var", (8,)), ("d.weight", (8, 4, 3, 3))):
            a, b = source(name, dims), weights.generated(1)(name, dims)
            self.assertTrue(np.array_equal(a, b))
            self.assertGreater(float(a.std()), 0)
        self.assertTrue(np.array_equal(source("a.weight.T", (32, 64)), source("a.weight", (64, 32)).T))
        self.assertGreater(float(source("c.running_var", (512,)).min()), 0)

    def test_made_model_loads_and_is_made_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = making.make("minilm", folder, generated=True)
            onnx.checker.check_model(str(path))
            first = path.stat().st_mtime_ns
            self.assertEqual(making.make("minilm", folder, generated=True).stat().st_mtime_ns, first)
            path.unlink()
            self.assertTrue(making.make("minilm", folder, generated=True).exists())


class Packages(unittest.TestCase):
    def test_a_wrong_hash_is_an_error_and_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "wheels" / "thing==1.0"
            place.mkdir(parents=True)
            with zipfile.ZipFile(place / "thing-1.0-py3-none-any.whl", "w") as z:
                z.writestr("thing/data.bin", b"data")
            before = os.environ.get("CIUIC_CACHE")
            os.environ["CIUIC_CACHE"] = folder
            try:
                with self.assertRaises(packages.WrongHash):
                    packages.member("thing==1.0", "thing/data.bin", "0" * 64)
                self.assertEqual([p for p in (Path(folder) / "unpacked").rglob("*") if p.is_file()], [])
                right = hashlib.sha256(b"data").hexdigest()
                self.assertEqual(packages.member("thing==1.0", "thing/data.bin", right).read_bytes(), b"data")
            finally:
                if before is None:
                    del os.environ["CIUIC_CACHE"]
                else:
                    os.environ["CIUIC_CACHE"] = before


class Tally(unittest.TestCase):
    def count(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as f:
            f.write(text)
            f.flush()
            return tally.tally(f.name)

    def test_counts(self):
        self.assertEqual(self.count('<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure>x</failure>'
                                    '</testcase><testcase name="c"><skipped/></testcase></testsuite></testsuites>'), (1, 1, 1))
        self.assertEqual(self.count('<testsuite><testcase name="a" status="run"/><testcase name="b" status="fail">'
                                    '<failure message=""/></testcase></testsuite>'), (1, 1, 0))

    def test_no_report(self):
        self.assertEqual(tally.tally("/nonexistent.xml"), (0, 0, 0))


if __name__ == "__main__":
    unittest.main()
