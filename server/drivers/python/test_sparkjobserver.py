"""Tests of the package that need no Spark: ``python3 -m unittest test_sparkjobserver``."""

import itertools
import unittest

from sparkjobserver.api import ValidationProblem, build_problems
from sparkjobserver.config import ConfigMissingException, ConfigTree, ConfigWrongTypeException
from sparkjobserver.job import Mapping, ResultRefused


class ConfigTreeReads(unittest.TestCase):
    tree = ConfigTree({"a": {"b": [1, {"c": 2}], "on": "yes"}, "x.y": 3, "n": None})

    def test_paths_lead_into_trees(self):
        self.assertEqual(self.tree.get("a.b")[1].get_int("c"), 2)
        self.assertEqual(self.tree["a.on"], "yes")
        self.assertEqual(self.tree["x.y"], 3)
        self.assertEqual(ConfigTree({"x.y": 1}).get('"x.y"'), 1)
        self.assertEqual(ConfigTree({"s": {"e.m": 1}})["s.e.m"], 1)
        self.assertEqual(ConfigTree({"s": {"e.m": {"x": 1}}}).get('s."e.m".x'), 1)
        self.assertIn("a.b", self.tree)
        self.assertNotIn("a.c", self.tree)

    def test_a_missing_key_raises_unless_there_is_a_default(self):
        self.assertIsNone(self.tree.get("input.strings", None))
        for read in (self.tree.get, self.tree.__getitem__, self.tree.get_list):
            with self.assertRaisesRegex(ConfigMissingException, "key a.z"):
                read("a.z")

    def test_values_are_converted_or_refused(self):
        self.assertIs(self.tree.get_bool("a.on"), True)
        self.assertEqual(self.tree.get_string("x.y"), "3")
        self.assertIsNone(self.tree.get_int("n"))
        self.assertEqual(ConfigTree({"l": {"1": "b", "0": "a"}}).get_list("l"), ["a", "b"])
        with self.assertRaises(ConfigWrongTypeException):
            self.tree.get_int("a.on")

    def test_put_and_pop_follow_paths(self):
        tree = ConfigTree()
        tree.put("p.q.r", 1)
        self.assertEqual(tree.as_plain_ordered_dict(), {"p": {"q": {"r": 1}}})
        self.assertEqual(tree.pop("p.q.r"), 1)
        self.assertNotIn("p.q.r", tree)


class ResultsMap(unittest.TestCase):
    def of(self, value, bytes_max=10000):
        return Mapping(bytes_max).of(value)

    def test_each_type(self):
        rows = [
            ((20, 1250.0), [20, 1250.0]),
            ({1: "a", "k": (None, True)}, {"1": "a", "k": [None, True]}),
            (float("nan"), None),
            (float("-inf"), None),
            ({3, 1, 2}, "[1, 2, 3]"),
            (2**70, str(2**70)),
            (b"\x01\xff", ["1", "-1"]),
            ((n for n in range(3)), [0, 1, 2]),
            (ValueError, str(ValueError)),
        ]
        for value, expected in rows:
            self.assertEqual(self.of(value), expected)

    def test_what_has_no_end_is_refused(self):
        endless = []
        endless.append(endless)
        for value in (endless, itertools.count(), "x" * 10001):
            with self.assertRaises(ResultRefused):
                self.of(value)


class ProblemsShow(unittest.TestCase):
    def test_their_text(self):
        problems = build_problems(["no input", "no output"])
        self.assertIsInstance(problems[0], ValidationProblem)
        self.assertEqual(
            str(problems), "[ValidationProblem(no input), ValidationProblem(no output)]"
        )


if __name__ == "__main__":
    unittest.main()
