"""One vocabulary of joint names over all layouts, and how names of recordings are brought into it.

Every layout maps its joints to names such as ``left_elbow``, ``mid_hip`` or ``torso``; conversion between layouts,
body parts and mirror pairs are all read from these names.

Two conventions of naming meet in recordings. Pose estimators and depth cameras name *points* ("elbow"); animation
rigs name the *bone that starts* at the point ("lower arm" starts at the elbow, "hand" at the wrist, "foot" at the
ankle, and "shoulder" is the collar bone). Which one holds is read from the whole list of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SIDES = ("left", "right")

# The part of the body each canonical name belongs to; a name with a side is looked up without it.
CENTRAL_PARTS: Mapping[str, tuple[str, ...]] = {
    "head": ("head", "head_top", "nose", "jaw", "upper_neck"),
    "trunk": ("root", "mid_hip", "lower_spine", "torso", "chest", "neck", "sternum", "clavicle", "back", "spine_t10"),
    "palm": ("wrist", "palm"),
    "tail": ("tail_base",),
}
SIDED_PARTS: Mapping[str, tuple[str, ...]] = {
    "head": ("eye", "eye_inner", "eye_outer", "ear", "mouth", "head_front", "head_back"),
    "trunk": ("pelvis_front", "pelvis_back", "back"),
    "arm": (
        *("collar", "shoulder", "upper_arm", "elbow", "forearm", "wrist", "wrist_radial", "wrist_ulnar"),
        *("hand", "hand_tip", "thumb", "index", "middle", "ring", "pinky"),
    ),
    "leg": ("hip", "thigh", "knee", "shin", "ankle", "heel", "foot", "foot_tip", "big_toe", "small_toe"),
}
FINGERS = ("thumb", "index", "middle", "ring", "pinky")

_CENTRAL: Mapping[str, str] = {
    **dict.fromkeys(("hips", "hip", "pelvis", "midhip", "hipcenter", "centerhip", "spinebase", "waist"), "mid_hip"),
    **dict.fromkeys(("torso", "spine", "spinemid", "midspine", "spinenavel", "spine1", "navel"), "torso"),
    **dict.fromkeys(("chest", "spinechest", "upperchest", "spine2", "thorax"), "chest"),
    **dict.fromkeys(("lowerspine", "lowerback", "spine0"), "lower_spine"),
    **dict.fromkeys(("neck", "shouldercenter", "spineshoulder", "neck0"), "neck"),
    **dict.fromkeys(("upperneck", "neck1"), "upper_neck"),
    **dict.fromkeys(("head", "headcenter"), "head"),
    **dict.fromkeys(("headtop", "headtip", "headend", "topofhead"), "head_top"),
    **dict.fromkeys(("root", "reference", "jointroot"), "root"),
    **dict.fromkeys(("nose", "jaw", "palm", "wrist"), ""),
}
_SIDED: Mapping[str, str] = {
    **dict.fromkeys(("clavicle", "collar", "collarbone", "clav"), "collar"),
    **dict.fromkeys(("bigtoe", "hallux"), "big_toe"),
    **dict.fromkeys(("smalltoe", "littletoe"), "small_toe"),
    **dict.fromkeys(("handtip", "fingertip"), "hand_tip"),
    **dict.fromkeys(("footindex", "footend", "toeend", "toebaseend"), "foot_tip"),
    **dict.fromkeys(("toe", "toes", "toebase", "legtoes", "ball"), "foot"),
    **dict.fromkeys(("eyeinner", "mouth", "eyeouter"), ""),
    **dict.fromkeys(("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot", "heel", "eye", "ear"), ""),
    **dict.fromkeys(FINGERS, ""),
}
# Names of bones that stand for the joint they start at, by limb.
_ARM_BONES: Mapping[str, str] = {
    **dict.fromkeys(("shoulder",), "collar"),
    **dict.fromkeys(("arm", "upperarm", "uparm"), "shoulder"),
    **dict.fromkeys(("forearm", "lowerarm", "lowarm"), "elbow"),
    **dict.fromkeys(("hand",), "wrist"),
}
_LEG_BONES: Mapping[str, str] = {
    **dict.fromkeys(("upleg", "upperleg", "thigh"), "hip"),
    **dict.fromkeys(("leg", "lowerleg", "lowleg", "calf", "shin"), "knee"),
    **dict.fromkeys(("foot",), "ankle"),
}
# Points of a finger from its root: as MediaPipe names them (of the thumb CMC, MCP and IP), the RealSense, and OpenXR,
# where a bone stands for the joint it starts at.
_ON_FINGER: Mapping[str, int] = {
    **{"base": 1, "first": 2, "second": 3, "tip": 4, "1": 1, "2": 2, "3": 3, "4": 4},
    **{"mcp": 1, "pip": 2, "dip": 3, "proximal": 1, "intermediate": 2, "distal": 3},
}
_ON_THUMB: Mapping[str, int] = {
    **_ON_FINGER,
    **{"cmc": 1, "mcp": 2, "ip": 3, "metacarpal": 1, "proximal": 2, "distal": 3},
}
_MARKS_ARM = ("arm", "upperarm", "uparm", "forearm", "lowerarm", "lowarm")
_MARKS_LEG = ("upleg", "upperleg", "thigh", "leg", "lowerleg", "lowleg", "calf", "shin")
_FACE = re.compile(r"((left|right)_)?face_\d{1,2}")  # by their numbers in 300-W
_ON_HAND = re.compile(rf"({'|'.join(FINGERS)}|little)(?:finger)?(?:phalanx)?([a-z]+|[1-4])")
_HAND = re.compile(rf"hand_root|({'|'.join(FINGERS)})_[1-4]")
_UNDERSCORED = {"eyeinner": "eye_inner", "eyeouter": "eye_outer"}

_PREFIX = re.compile(r"^(mixamorig\d*:?|cc_base_|rl_|bip\d+_?|skel_|joint_|j_|[a-z0-9]+:)", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


def split_side(name: str) -> tuple[str, str]:
    """``("left" | "right" | "", rest)`` of a recording's joint name, the rest in lower case without separators.

    >>> split_side("LeftUpLeg"), split_side("UpperArm_R"), split_side("LHip")
    (('left', 'upleg'), ('right', 'upperarm'), ('left', 'hip'))
    """
    words = [w.lower() for w in _WORDS.findall(_PREFIX.sub("", name))]
    side = ""
    rest = []
    for position, word in enumerate(words):
        outer = position in (0, len(words) - 1)
        if not side and word in SIDES:
            side = word
        elif not side and outer and word in ("l", "r"):
            side = SIDES["lr".index(word)]
        else:
            rest.append(word)
    return side, "".join(rest)


def canonical_names(joints: Sequence[str]) -> tuple[str, ...]:
    """Canonical name of every joint of a recording, guessed from the whole list.

    A joint that is already canonical keeps its name, and so does one that is not recognised or whose canonical name
    an earlier joint has taken.

    Args:
        joints: joint names in storage order.

    Returns:
        as many names, each used once.
    """
    split = [split_side(j) for j in joints]
    bones: dict[str, str] = {}
    rests = {rest for side, rest in split if side}
    if rests & set(_MARKS_ARM):
        bones |= _ARM_BONES
    if rests & set(_MARKS_LEG):
        bones |= _LEG_BONES
    if "upperarm" not in rests and "shoulder" not in rests and "arm" not in rests:
        bones.pop("shoulder", None)
    guesses = [_guess(joint, side, rest, bones) for joint, (side, rest) in zip(joints, split, strict=True)]
    own = set(joints)
    taken: set[str] = set()
    names: list[str] = []
    for joint, guess in zip(joints, guesses, strict=True):
        free = guess not in taken and (guess == joint or guess not in own)
        names.append(guess if free else joint)
        taken.add(names[-1])
    return tuple(names)


def _guess(joint: str, side: str, rest: str, bones: Mapping[str, str]) -> str:
    if part_of(joint):
        return joint
    if not side:
        found = _CENTRAL.get(rest)
        return (_finger(rest) or joint) if found is None else found or rest
    if rest in bones:
        return f"{side}_{bones[rest]}"
    sided = _SIDED.get(rest)
    return joint if sided is None else f"{side}_{sided or _UNDERSCORED.get(rest, rest)}"


def _finger(rest: str) -> str | None:
    """``index_2`` of ``indexfingerpip``, ``index2`` …; None of what is no point of a finger."""
    match = _ON_HAND.fullmatch(rest)
    if match is None:
        return None
    finger = "pinky" if match[1] == "little" else match[1]
    place = (_ON_THUMB if finger == "thumb" else _ON_FINGER).get(match[2])
    return f"{finger}_{place}" if place else None


def is_hand(joints: Sequence[str]) -> bool:
    """Whether these are the joints of one hand: several fingers, and nothing that is of a body."""
    fingers = set(parts_of(canonical_names(joints))) - {"palm"}
    return len(fingers) > 1 and fingers <= set(FINGERS)


def part_of(canonical: str) -> str | None:
    """Body part of a canonical name: ``head``, ``trunk``, ``left_arm`` … or a finger; None if it is not canonical."""
    for part, names in CENTRAL_PARTS.items():
        if canonical in names:
            return part
    for finger in FINGERS:  # thumb_1 … thumb_4 of a hand layout, root to tip
        if re.fullmatch(rf"{finger}_\d", canonical):
            return finger
    if _FACE.fullmatch(canonical):
        return "head"
    side, _, rest = canonical.partition("_")
    if side in SIDES:
        if _HAND.fullmatch(rest):
            return f"{side}_arm"
        for part, names in SIDED_PARTS.items():
            if rest in names:
                return f"{side}_{part}" if part in ("arm", "leg") else part
    return None


def vocabulary() -> list[str]:
    """All canonical names, those of fingers from ``thumb_1`` (root) to ``pinky_4`` (tip)."""
    central = [name for names in CENTRAL_PARTS.values() for name in names]
    sided = [f"{side}_{name}" for side in SIDES for names in SIDED_PARTS.values() for name in names]
    return [*central, *sided, *(f"{finger}_{n}" for finger in FINGERS for n in range(1, 5))]


def parts_of(canonical: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Joint indices of every part; a joint with an unknown name is in none."""
    parts: dict[str, list[int]] = {}
    for index, name in enumerate(canonical):
        part = part_of(name)
        if part:
            parts.setdefault(part, []).append(index)
    return {part: tuple(indices) for part, indices in parts.items()}


def mirror_of(canonical: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices whose names differ only in ``left_`` and ``right_``."""
    where = {name: index for index, name in enumerate(canonical)}
    pairs = []
    for name, index in where.items():
        twin = where.get("right_" + name.removeprefix("left_")) if name.startswith("left_") else None
        if twin is not None:
            pairs.append((index, twin))
    return tuple(pairs)


def center_of(canonical: Sequence[str], parents: Sequence[int]) -> int:
    """The joint that stands for the position: mid spine, else hips, neck, palm, else the first root."""
    for name in ("torso", "mid_hip", "neck", "palm"):
        if name in canonical:
            return list(canonical).index(name)
    return next((j for j, p in enumerate(parents) if p in (-1, j)), 0)
