from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import ConfigError, MotetError
from motet.data import layouts
from motet.data.layouts import canonical_names, part_of

SIZES = {
    "acclaim-31": 31,
    "azure-kinect-32": 32,
    "bandai-22": 22,
    "coco-17": 17,
    "common-15": 15,
    "florence-15": 15,
    "h36m-17": 17,
    "halpe-26": 26,
    "hand-21": 21,
    "hand-22": 22,
    "imu-2": 2,
    "inertial": 2,
    "kinect-v1": 20,
    "kinect-v2": 25,
    "mediapipe-33": 33,
    "nite-15": 15,
    "openpose-18": 18,
    "openpose-25": 25,
    "shared-15": 15,
    "smpl-24": 24,
    "ui-prmd-22": 22,
    "ui-prmd-39": 39,
    "utd-mhad-20": 20,
    "vibe-25": 25,
    "vibe-49": 49,
    "wholebody-133": 133,
}
BODIES = [n for n in SIZES if n not in ("imu-2", "inertial") and not n.startswith("hand")]
KINECT_PARENTS = [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11]

OWN = """
name = "suit"
up = "+z"
right_handed = false
joints = [
  { name = "Hips", parent = "" },
  { name = "Backbone", parent = "Hips", canonical = "torso" },
  { name = "LeftArm", parent = "Backbone" },
  { name = "RightArm", parent = "Backbone" },
]
"""


def test_built_in_layouts() -> None:
    assert layouts.names() == tuple(sorted(SIZES))
    assert {name: len(layouts.get(name)) for name in SIZES} == SIZES


def test_kinect_v2_has_the_bones_of_the_cmd_paper() -> None:
    skeleton = layouts.get("kinect-v2")
    assert list(skeleton.parents) == KINECT_PARENTS
    assert skeleton.joints[skeleton.center] == "SpineMid"
    assert (20, 20) not in skeleton.bones
    assert len(skeleton.bones) == 24
    assert skeleton.canonical[20] == "neck"


@pytest.mark.parametrize("name", BODIES)
def test_parts_of_a_body_cover_every_joint_once(name: str) -> None:
    skeleton = layouts.get(name)
    covered = sorted(i for part in skeleton.parts.values() for i in part)
    assert covered == list(range(len(skeleton)))
    assert {"left_arm", "right_arm", "left_leg", "right_leg", "head"} <= set(skeleton.parts)


@pytest.mark.parametrize("name", BODIES)
def test_mirror_pairs_swap_left_and_right_and_leave_the_bones(name: str) -> None:
    skeleton = layouts.get(name)
    swap = np.arange(len(skeleton))
    for left, right in skeleton.mirror:
        assert skeleton.canonical[left] == skeleton.canonical[right].replace("right_", "left_")
        swap[[left, right]] = right, left
    single = {skeleton.canonical[i] for i in range(len(skeleton)) if swap[i] == i}
    assert not any(n.startswith("left_") for n in single)
    if name != "ui-prmd-39":  # its marker graph is not symmetric
        parents = skeleton.parent_index
        assert (swap[parents[swap]] == parents).all()


@pytest.mark.parametrize("name", ["hand-21", "hand-22"])
def test_hands_have_five_fingers(name: str) -> None:
    skeleton = layouts.get(name)
    assert skeleton.kind == "hand"
    assert all(len(skeleton.parts[f]) == 4 for f in ("thumb", "index", "middle", "ring", "pinky"))


def test_sensor_layout_has_two_nodes_and_no_bones() -> None:
    skeleton = layouts.get("imu-2")
    assert (skeleton.kind, skeleton.up, skeleton.bones) == ("sensor", None, ())


def test_handedness_of_the_depth_cameras() -> None:
    # NITE's x axis points to the sensor's right, the Kinect SDK's to its left
    assert not layouts.get("nite-15").right_handed
    assert layouts.get("kinect-v1").right_handed
    assert layouts.get("kinect-v2").right_handed


def test_shared_15_masks_as_codt() -> None:
    skeleton = layouts.get("shared-15")
    assert [skeleton.parts[p] for p in ("right_arm", "left_arm", "right_leg", "left_leg")] == [
        (2, 3, 4),
        (5, 6, 7),
        (9, 10, 11),
        (12, 13, 14),
    ]
    assert skeleton.select(["trunk", "head"]) == (0, 1, 8)


@pytest.mark.parametrize(
    ("joints", "canonical"),
    [
        # points named by depth cameras
        (["ShoulderLeft", "ElbowLeft", "HandLeft"], ["left_shoulder", "left_elbow", "left_hand"]),
        (["r_hip", "r_foot"], ["right_hip", "right_foot"]),
        # bones named by animation rigs
        (
            ["Hips", "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand", "LeftHandIndex1"],
            ["mid_hip", "left_collar", "left_shoulder", "left_elbow", "left_wrist", "LeftHandIndex1"],
        ),
        (
            ["mixamorig:LeftUpLeg", "mixamorig:LeftLeg", "mixamorig:LeftFoot", "mixamorig:LeftToeBase"],
            ["left_hip", "left_knee", "left_ankle", "left_foot"],
        ),
        (
            ["CC_Base_L_Thigh", "CC_Base_L_Calf", "CC_Base_L_Foot"],
            ["left_hip", "left_knee", "left_ankle"],
        ),
        (["Shoulder_R", "UpperArm_R", "Hand_R"], ["right_collar", "right_shoulder", "right_wrist"]),
        # canonical already, unknown, and taken
        (["left_elbow", "gizmo", "LElbow"], ["left_elbow", "gizmo", "LElbow"]),
        (["LElbow", "left_elbow"], ["LElbow", "left_elbow"]),
    ],
)
def test_guessed_canonical_names(joints: list[str], canonical: list[str]) -> None:
    assert list(canonical_names(joints)) == canonical


@given(st.lists(st.text(max_size=12), unique=True, max_size=12))
def test_guesses_never_collide(joints: list[str]) -> None:
    names = canonical_names(joints)
    assert len(set(names)) == len(joints)


def test_a_part_for_every_canonical_name_of_the_layouts() -> None:
    assert part_of("left_elbow") == "left_arm"
    assert part_of("thumb_1") == "thumb"
    assert part_of("gizmo") is None


def test_own_layout_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "suit.toml"
    path.write_text(OWN)
    skeleton = layouts.get(path)
    assert skeleton.canonical == ("mid_hip", "torso", "left_shoulder", "right_shoulder")
    assert skeleton.parents == (-1, 0, 1, 1)
    assert (skeleton.up, skeleton.right_handed, skeleton.center, skeleton.mirror) == ("+z", False, 1, ((2, 3),))
    assert skeleton.parts["left_arm"] == (2,)


def test_own_layout_may_declare_parts_mirror_and_center(tmp_path: Path) -> None:
    path = tmp_path / "suit.toml"
    path.write_text(
        OWN + 'center = "Hips"\nmirror = [["RightArm", "LeftArm"]]\n[parts]\nupper = ["LeftArm", "RightArm"]\n'
    )
    skeleton = layouts.load(path)
    assert (skeleton.center, skeleton.mirror, dict(skeleton.parts)) == (0, ((3, 2),), {"upper": (2, 3)})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not valid TOML"),
        ('joints = [{ name = "A", parent = "" }]', "'name' is missing"),
        ('name = "x"', "'joints' is missing"),
        ('name = "x"\njoints = []', "no joints"),
        ('name = "x"\njoints = [{ name = "A" }]', "joints[0] has no 'parent'"),
        ('name = "x"\njoints = [{ name = "A", parent = "B" }]', "joints[0].parent"),
        ('name = "x"\njoints = [{ name = "A", parent = "", side = "l" }]', "'side'"),
        ('name = "x"\njoints = [{ name = "A", parent = 1 }]', "joints[0].parent"),
        ('name = "x"\njoints = [{ name = "A", parent = "" }]\ncentre = "A"', "unknown key 'centre'"),
        ('name = "x"\njoints = [{ name = "A", parent = "" }]\ncenter = "B"', "'center' names no joint: 'B'"),
        ('name = "x"\njoints = [{ name = "A", parent = "" }]\nup = "y"', "up axis 'y'"),
        ('name = "x"\njoints = [{ name = "A", parent = "" }]\nmirror = [["A"]]', "pairs"),
        ('name = "x"\njoints = [{ name = "A", parent = "" }]\nright_handed = "yes"', "'right_handed' must be a bool"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "suit.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        layouts.get(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_unknown_layout_lists_the_known() -> None:
    with pytest.raises(ConfigError, match="kinect-v2"):
        layouts.get("kinect-v9")
    with pytest.raises(ConfigError, match="cannot be read"):
        layouts.get("absent.toml")


@given(st.text(max_size=60) | st.text(max_size=40).map(lambda t: OWN + t))
def test_only_motet_errors_escape(text: str) -> None:
    with contextlib.suppress(MotetError):
        layouts.parse(text, "fuzz.toml")


@pytest.mark.real_data
def test_joint_names_of_the_real_sets_are_recognised(shared_data: Path) -> None:
    files = sorted((shared_data / "skeleton").glob("*.npz"))
    if not files:
        pytest.skip("no compact skeleton sets here")
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            assert layouts.match(data["joint_names"].tolist()) is not None, file.name


def test_a_misspelt_canonical_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    rows = ['{ name = "a", parent = "" }', '{ name = "b", parent = "a", canonical = "left_elbo" }']
    path.write_text(f'name = "own"\njoints = [{", ".join(rows)}]\n')
    with pytest.raises(ConfigError, match=r"joints\[1\]\.canonical is 'left_elbo'.*left_elbow"):
        layouts.load(path)
    path.write_text(path.read_text().replace("left_elbo", "left_elbow_2"))
    assert layouts.load(path).canonical[1] == "left_elbow_2"
