"""Tests of which pack ships. Run: python3 -B -m unittest discover -s adapters

Without -B Python leaves a folder here, which the server and the archive would take for a task's."""

import json
import tempfile
import unittest
from pathlib import Path

import ship


def rights(*places: int) -> dict[str, bool]:
    return {f"a/{place}.png": place in places for place in range(100)}


class Ship(unittest.TestCase):
    def test_mcnemar_is_the_binomial_test_of_a_fair_coin(self):
        # scipy.stats.binomtest(k, n).pvalue
        for one, other, p in [(0, 0, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (3, 3, 1.0), (2, 10, 0.0385742), (10, 2, 0.0385742)]:
            self.assertAlmostEqual(ship.chance(one, other), p, places=6)

    def test_mimi_ships_only_where_it_has_earned_it(self):
        head = rights(*range(80))
        self.assertTrue(ship.earned(head, rights(*range(86)), 1)[0])
        self.assertFalse(ship.earned(head, rights(*range(86)), 0)[0], "nothing was removed")
        self.assertFalse(ship.earned(head, rights(*range(85)), 1)[0], "p is 0.0625")
        self.assertFalse(ship.earned(head, rights(*range(1, 80)), 1)[0], "it is worse")
        wide = {f"b/{place}": place < 900 for place in range(1000)}
        better = {name: right or int(name[2:]) < 919 for name, right in wide.items()}
        self.assertEqual(ship.earned(wide, better, 3)[:2], (False, 1.9), "it is better, by less than two points")

    def test_packs_that_scored_other_images_are_refused(self):
        with self.assertRaises(SystemExit):
            ship.earned({"a/1.png": True}, {"a/2.png": True}, 1)

    def test_scores_and_removed_adapters_are_read(self):
        with tempfile.TemporaryDirectory() as place:
            scores, pack = Path(place) / "s.jsonl", Path(place)
            line = {"image": "cat/1.png", "results": [{"task": "t", "predictions": [{"label": "cat"}]}]}
            scores.write_text(json.dumps(line) + "\n" + json.dumps(line | {"image": "dog/2.png"}) + "\n")
            self.assertEqual(ship.right(scores, "t"), {"cat/1.png": True, "dog/2.png": False})
            (pack / "adapter_config.json").write_text(json.dumps({"leave_out": ["blocks.7.mlp", "blocks.8.attn", "blocks.11.mlp"]}))
            self.assertEqual(ship.removed(pack), 2)

    def test_the_next_version_appears_whole(self):
        with tempfile.TemporaryDirectory() as place:
            task, pack = Path(place) / "task", Path(place) / "pack"
            (task / "9").mkdir(parents=True)
            (task / "10").mkdir()
            pack.mkdir()
            (pack / "adapter_config.json").write_text("{}")
            (pack / "report.html").write_text("pictures")
            self.assertEqual(ship.ship(pack, task), task / "11")
            self.assertEqual([file.name for file in (task / "11").iterdir()], ["adapter_config.json"])
            self.assertEqual(sorted(folder.name for folder in task.iterdir()), ["10", "11", "9"])


if __name__ == "__main__":
    unittest.main()
