"""Lists of classes: the real ones against each other, orders checked and made, damaged ones refused."""

from pathlib import Path

import pytest

from alexnet.data.sources.classes import ClassList, read_classes
from alexnet.errors import UserError


def test_three_real_lists_give_one_order(shared_pack) -> None:
    folder = shared_pack("metadata")
    words = read_classes(folder / "synset_words.txt").arranged("sorted synset")
    index = read_classes(folder / "imagenet_class_index.json").arranged("")
    kit = read_classes(folder / "meta.mat").arranged("sorted synset")
    assert words.ids == index.ids == kit.ids
    assert len(set(words.names)) == 1000
    assert {words.order, index.order, kit.order} == {"sorted synset"}
    assert words.names[0] == "tench, Tinca tinca"


def test_the_devkit_s_own_order_is_another(shared_pack) -> None:
    folder = shared_pack("metadata")
    kit = read_classes(folder / "meta.mat", "devkit").arranged("")
    assert kit.order == "ILSVRC id"
    assert kit.ids[0] == "n02119789"  # kit fox, ILSVRC id 1
    truth = (folder / "ILSVRC2012_validation_ground_truth.txt").read_text().split()
    sorted_labels = (folder / "ILSVRC2012_val_labels_caffe_order.txt").read_text().split("\n")
    wnids = sorted(kit.ids)
    for line, label in list(zip(sorted_labels, truth, strict=False))[:2000]:
        assert wnids[int(line.split()[1])] == kit.ids[int(label) - 1]
    with pytest.raises(UserError, match=r"do not record the order of their outputs: --order sorted"):
        read_classes(folder / "meta.mat").arranged("")
    with pytest.raises(UserError, match=r"--order devkit needs meta\.mat"):
        read_classes(folder / "synset_words.txt", "devkit").arranged("")


def test_the_devkit_s_numbers_in_a_text_file(shared_pack, tmp_path: Path) -> None:
    """map_clsloc.txt: lines of wnid, ILSVRC id and name."""
    kit = read_classes(shared_pack("metadata") / "meta.mat", "devkit").arranged("")
    rows = enumerate(zip(kit.ids, kit.names, strict=True), 1)
    lines = "".join(f"{wnid} {number} {name.split(',')[0]}\n" for number, (wnid, name) in rows)
    (tmp_path / "map_clsloc.txt").write_text(lines)
    assert read_classes(tmp_path / "map_clsloc.txt", "devkit").arranged("").ids == kit.ids
    assert read_classes(tmp_path / "map_clsloc.txt").arranged("sorted synset").ids == tuple(sorted(kit.ids))
    with pytest.raises(UserError, match="do not record the order of their outputs"):
        read_classes(tmp_path / "map_clsloc.txt").arranged("")


def test_other_real_lists(shared_pack) -> None:
    folder = shared_pack("metadata")
    words = read_classes(folder / "synset_words.txt")
    assert read_classes(folder / "synsets.txt").ids == words.ids
    assert read_classes(folder / "det_synset_words.txt").names[:2] == ("accordion", "airplane")
    assert len(read_classes(folder / "tiny_imagenet_wnids.txt").ids) == 200


def test_names_alone(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("owl\ncrane\n\ncrane\n")
    found = read_classes(tmp_path / "names.txt").arranged("sorted synset")
    assert found.ids == ("owl", "crane", "crane 2")
    assert found.order == "as listed in names.txt"
    with pytest.raises(UserError, match="needs wnids"):
        read_classes(tmp_path / "names.txt", "sorted").arranged("")


def test_a_list_that_is_not_sorted_is_kept_only_when_asked() -> None:
    given = ClassList(("n00000002", "n00000001"), ("b", "a"), "list.txt")
    with pytest.raises(UserError, match="entry 1 is n00000002"):
        given.arranged("sorted synset")
    listed = ClassList(given.ids, given.names, given.where, "listed").arranged("sorted synset")
    assert (listed.ids, listed.order) == (given.ids, "as listed in list.txt")


def test_what_is_no_list(tmp_path: Path) -> None:
    for name, data, message in (
        ("a.txt", b"\xff\xfe\x00", "no text"),
        ("b.txt", b"n00000001 a\nn00000001 b\n", "n00000001 is in it twice"),
        ("c.txt", b"cat\n", "fewer than two"),
        ("d.json", b'{"0": "cat"}', "fewer than two"),
        ("e.json", b"[" * 100_000, "not read as a list of classes"),
        ("f.mat", b"MATLAB", "not a MATLAB 5 file"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message):
            read_classes(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_classes(tmp_path / "absent.txt")
