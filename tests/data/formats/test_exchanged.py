"""Formats in which people exchange poses and signals: each on a tiny input written here."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motet.core.errors import ConfigError, DataError, MotetNote, MotetWarning
from motet.data import layouts
from motet.data.archive import MotionArchive
from motet.data.formats import amass, h36m, import_dataset, phone

pytestmark = pytest.mark.filterwarnings("ignore::motet.core.errors.MotetNote")
RNG = np.random.default_rng(0)


def load(folder: Path, name: str, **options: Any) -> MotionArchive:
    return import_dataset(name, folder / "in", folder / "out", progress=False, overwrite=True, **options)


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / "in" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


TRC = """PathFileType\t4\t(X/Y/Z)\ta.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
100.00\t100.00\t3\t2\tmm\t100.00\t1\t3
Frame#\tTime\tHEAD\t\t\tR.TOE\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2

1\t0.00\t1\t1700\t3\t4\t5\t6
2\t0.01\t1\t1701\t3\t\t\t
5\t0.04\t1\t1702\t3\t7\t8\t9
"""


def test_times_of_opensim_go_before_its_header(tmp_path: Path) -> None:
    text = TRC.replace(
        "3\t7\t8\t9\n", "3\t7\t8\t9\n" + "".join(f"{n}\t{n / 50 - 0.02:.2f}\t" + "1\t" * 6 + "\n" for n in range(6, 20))
    )
    put(tmp_path, "a.trc", text.replace("0.01\t", "0.02\t").replace("0.04\t1\t1702", "0.08\t1\t1702"))
    with pytest.warns(MotetNote, match="its header says 100 frames/s and its times 50, which is taken"):
        archive = load(tmp_path, "trc")
    assert (archive.fps, archive.lengths.tolist()) == (50, [19])


def test_opensim_markers(tmp_path: Path) -> None:
    put(tmp_path, "a.trc", TRC)
    archive = load(tmp_path, "trc")
    assert (archive.fps, archive.units, archive.skeleton.joints, archive.skeleton.up) == (
        100,
        "m",
        ("HEAD", "R.TOE"),
        "+y",
    )
    wanted = np.zeros((5, 2, 3))
    wanted[[0, 1, 4], 0] = [[0.001, 1.7, 0.003], [0.001, 1.701, 0.003], [0.001, 1.702, 0.003]]
    wanted[[0, 4], 1] = [[0.004, 0.005, 0.006], [0.007, 0.008, 0.009]]
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*no built-in layout")
def test_a_number_that_fills_gaps_of_markers_is_not_seen(tmp_path: Path) -> None:
    text = "".join(f"{n}\t{n / 100 - 0.01:.2f}\t1\t1700\t3\t" + "9999999\t" * 3 + "\n" for n in (6, 7))
    put(tmp_path, "a.trc", TRC + text)
    with pytest.warns(MotetNote, match="9999.999 in all coordinates"):
        archive = load(tmp_path, "trc")
    assert archive.clip(0)[:, 0, 1].any(axis=1).tolist() == [True, False, False, False, True, False, False]


def test_opensim_tables(tmp_path: Path) -> None:
    head = "points\nversion=1\ninDegrees=no\nendheader\n"
    text = f"{head}time\thip_tx\thip_ty\thip_tz\tknee_angle\n0\t1\t2\t3\t9\n0.5\t4\t5\t6\t9\n"
    put(tmp_path, "a.sto", text)
    archive = load(tmp_path, "trc")
    assert (archive.fps, archive.skeleton.joints) == (2.0, ("hip",))
    np.testing.assert_allclose(archive.clip(0)[:, 0, 0], [[1, 2, 3], [4, 5, 6]])
    put(tmp_path, "a.sto", f"{head}time\tpelvis_tx\tpelvis_ty\tpelvis_tz\ta\tb\tc\td\n" + "0\t1\t2\t3\t4\t5\t6\t7\n")
    with pytest.warns(MotetWarning, match="a, b, c, d are no positions and are left out"):  # inverse kinematics
        load(tmp_path, "trc")
    put(tmp_path, "a.sto", "endheader\ntime\tknee_angle\n0\t1\n")
    with pytest.raises(DataError, match=r"none of its columns are positions .* angles of joints need a body model"):
        load(tmp_path, "trc")


def test_anipose(tmp_path: Path) -> None:
    rows = [
        "nose_x,nose_y,nose_z,nose_error,nose_ncams,nose_score,tail_x,tail_y,tail_z,tail_error,tail_score,M_00,fnum",
        "1,2,3,0.5,3,0.9,4,5,6,9,0.8,1,0",
        "nan,nan,nan,,0,,7,8,9,0.1,0.7,1,3",
    ]
    put(tmp_path, "a.csv", "\n".join(rows))
    archive = load(tmp_path, "anipose", error=5.0)
    assert (archive.skeleton.joints, archive.lengths.tolist()) == (("nose", "tail"), [4])
    wanted = np.zeros((4, 2, 3))
    wanted[0, 0], wanted[3, 1] = [0.001, 0.002, 0.003], [0.007, 0.008, 0.009]
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted)


def test_nwb(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    (tmp_path / "in").mkdir()
    data = RNG.uniform(1, 9, (2, 4, 2))
    with h5py.File(tmp_path / "in" / "a.nwb", "w") as file:
        pose = file.create_group("processing/behavior/PoseEstimation")
        pose.attrs["neurodata_type"] = "PoseEstimation"
        pose["nodes"], pose["edges"] = np.array([b"nose", b"tail"]), np.array([[1, 0]])
        for name, values in zip(("nose", "tail"), data, strict=True):
            series = pose.create_group(name)
            series.attrs["neurodata_type"] = "PoseEstimationSeries"
            series["data"], series["timestamps"] = values, np.array([0, 0.1, 0.2, 0.5])
            series["confidence"] = np.array([1, 1, 0, 1.0])
    archive = load(tmp_path, "nwb")
    assert (archive.fps, archive.skeleton.joints, archive.skeleton.parents) == (10.0, ("nose", "tail"), (1, -1))
    wanted = np.zeros((6, 2, 2))
    wanted[[0, 1, 5]] = data[:, [0, 1, 3]].swapaxes(0, 1)
    np.testing.assert_allclose(archive.clip(0)[:, 0], wanted, rtol=1e-6)


def test_stamps_that_keep_no_rate_are_said(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    times = np.cumsum(np.random.default_rng(0).uniform(0.004, 0.03, 60))
    with h5py.File(put(tmp_path / "nwb", "a.nwb", ""), "w") as file:
        file.create_group("Pose").attrs["neurodata_type"] = "PoseEstimation"
        series = file["Pose"].create_group("nose")
        series.attrs["neurodata_type"] = "PoseEstimationSeries"
        series["data"], series["timestamps"] = np.ones((60, 2)), times
    put(
        tmp_path / "trc",
        "a.trc",
        TRC[: TRC.index("1\t0.00")] + "".join(f"{n}\t{t:.4f}\t" + "1\t" * 6 + "\n" for n, t in enumerate(times)),
    )
    put(
        tmp_path / "sto",
        "a.sto",
        "endheader\ntime\thip_tx\thip_ty\thip_tz\n" + "".join(f"{t:.4f}\t1\t2\t3\n" for t in times),
    )
    for name, kind in (("a.nwb, Pose", "nwb"), ("a.trc", "trc"), ("a.sto", "sto")):
        with pytest.warns(MotetNote, match=rf"the stamps of \S*/{name} keep no rate .* interpolated at 5\d"):
            load(tmp_path / kind, "nwb" if kind == "nwb" else "trc")


@pytest.mark.parametrize("edges", [[[-9, 0]], [[0, 7]], [0, 1, 1], [[0, 1, 1]]])
def test_nwb_with_edges_to_nowhere_has_no_bones(tmp_path: Path, edges: Any) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    (tmp_path / "in").mkdir()
    with h5py.File(tmp_path / "in" / "a.nwb", "w") as file:
        pose = file.create_group("PoseEstimation")
        pose.attrs["neurodata_type"] = "PoseEstimation"
        pose["nodes"], pose["edges"] = np.array([b"nose", b"tail"]), np.array(edges)
        for name in ("nose", "tail"):
            series = pose.create_group(name)
            series.attrs["neurodata_type"] = "PoseEstimationSeries"
            series["data"] = np.ones((3, 2))
    assert load(tmp_path, "nwb").skeleton.parents == (-1, -1)


def test_amass_poses_are_rotations_of_a_rest_skeleton(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    poses, trans = np.zeros((3, 156)), RNG.normal(size=(3, 3))
    poses[1, :3] = [0, 0, np.pi / 2]  # the whole body about z
    poses[2, 3 * 18 : 3 * 19] = turn = [0.3, -0.2, 0.5]  # the left elbow
    np.savez(tmp_path / "in" / "a_poses.npz", poses=poses, trans=trans, mocap_framerate=120.0, gender="female")
    archive = load(tmp_path, "amass", up="+z")
    assert (archive.fps, archive.skeleton.name, archive.clips["gender"][0]) == (120.0, "smpl-24", "female")
    body, clip = archive.skeleton, archive.clip(0)[:, 0].astype(np.float64) - trans[:, None]
    height = clip[0, body.index("head"), 1] - clip[0, body.index("left_foot"), 1]
    assert 1.3 < height < 1.7
    quarter = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
    np.testing.assert_allclose(clip[1], clip[0] @ quarter.T, atol=1e-6)
    elbow, wrist = body.index("left_elbow"), body.index("left_wrist")
    np.testing.assert_allclose(
        clip[2, wrist] - clip[2, elbow], Rotation.from_rotvec(turn).apply(clip[0, wrist] - clip[0, elbow]), atol=1e-6
    )
    with pytest.warns(MotetNote, match="need a body model; a rest skeleton of usual proportions stands in"):
        load(tmp_path, "amass", up="+z")
    assert set(amass.REST) <= set(layouts.get("smpl-24").joints)


def test_humanml3d_positions(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    points = RNG.normal(size=(4, 22, 3)).astype(np.float32)
    np.save(tmp_path / "in" / "000001.npy", points)
    archive = load(tmp_path, "amass", up="+y")
    assert (archive.fps, len(archive.skeleton)) == (20.0, 22)
    np.testing.assert_array_equal(archive.clip(0)[:, 0], points)
    np.save(tmp_path / "in" / "000001.npy", np.zeros((4, 263)))
    with pytest.raises(DataError, match="263 numbers are no positions: give the folder new_joints"):
        load(tmp_path, "amass")


def test_stgcn_arrays(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = RNG.normal(size=(20, 3, 6, 25, 2)).astype(np.float32)
    values[3, :, 4:] = 0
    values[3, :, 0] = 0  # nobody yet: kept
    np.save(tmp_path / "in" / "val_data_joint.npy", values)
    names = [f"S001C002P{i:03d}R001A005.skeleton" for i in range(20)]
    (tmp_path / "in" / "val_label.pkl").write_bytes(pickle.dumps((names, [i % 3 for i in range(20)])))
    archive = load(tmp_path, "stgcn")
    assert archive.lengths.tolist() == [6, 6, 6, 4, *[6] * 16]
    np.testing.assert_array_equal(archive.clip(3), values[3].transpose(1, 3, 2, 0)[:4])
    assert archive.clips.select("name", "label", "subject", "camera", "split").row(4) == (names[4][:-9], 1, 4, 2, "val")


def test_kinetics_of_stgcn_has_confidences(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = RNG.uniform(0.1, 1, (2, 3, 4, 18, 2)).astype(np.float32)
    np.save(tmp_path / "in" / "train_data.npy", values)
    archive = load(tmp_path, "stgcn")
    np.testing.assert_array_equal(archive.clip(1), values[1, :2].transpose(1, 3, 2, 0))
    np.testing.assert_array_equal(archive.clip_confidence(1), values[1, 2].transpose(0, 2, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_ctrgcn_arrays(tmp_path: Path, save: Any) -> None:
    (tmp_path / "in").mkdir()
    train, test = (RNG.normal(size=(n, 5, 150)).astype(np.float32) for n in (18, 3))
    answers = np.eye(4)
    save(
        tmp_path / "in" / "NTU60_CS.npz",
        **{"x_train": train, "y_train": answers[[i % 4 for i in range(18)]], "x_test": test, "y_test": answers[:3]},
    )
    archive = load(tmp_path, "stgcn")
    assert archive.source["split"] == "column:split=train,test"
    assert archive.clips["split"].to_list() == ["train"] * 18 + ["test"] * 3
    assert archive.labels.tolist() == [*(i % 4 for i in range(18)), 0, 1, 2]
    np.testing.assert_array_equal(archive.clip(17), train[17].reshape(5, 2, 25, 3))
    np.testing.assert_array_equal(archive.clip(20), test[2].reshape(5, 2, 25, 3))


def test_mmpose_and_ultralytics(tmp_path: Path) -> None:
    points = RNG.uniform(1, 99, (3, 133, 2)).round(2)
    frames = [
        {"frame_id": n, "instances": [{"keypoints": p.tolist(), "keypoint_scores": [0.5] * 133}]}
        for n, p in zip((1, 2, 5), points, strict=True)
    ]
    put(tmp_path, "a.json", json.dumps({"meta_info": {}, "instance_info": frames}))
    archive = load(tmp_path, "openpose")
    assert (archive.skeleton.name, archive.lengths.tolist()) == ("wholebody-133", [5])
    np.testing.assert_allclose(archive.clip(0)[[0, 1, 4], 0], points, rtol=1e-6)
    archive = load(tmp_path, "openpose", skeleton="coco-17")
    np.testing.assert_allclose(archive.clip(0)[[0, 1, 4], 0], points[:, :17], rtol=1e-6)
    seen = [{"x": p[:17, 0].tolist(), "y": p[:17, 1].tolist(), "visible": [0.9] * 17} for p in points]
    put(tmp_path, "a.json", json.dumps([[{"name": "person", "keypoints": k}] for k in seen]))
    archive = load(tmp_path, "openpose")
    np.testing.assert_allclose(archive.clip(0)[:, 0], points[:, :17], rtol=1e-6)


@pytest.mark.parametrize("form", ["{a}{n}", "landmark_{n}_{a}"])
def test_mediapipe_as_a_table(tmp_path: Path, form: str) -> None:
    names = [form.format(n=n, a=a) for n in range(33) for a in "xyz"]
    values = RNG.normal(size=(2, 99)).round(4)
    put(tmp_path, "a.csv", "\n".join([",".join(names), *(",".join(map(str, row)) for row in values.tolist())]))
    archive = load(tmp_path, "csv")
    assert archive.skeleton.name == "mediapipe-33"
    np.testing.assert_allclose(archive.clip(0)[:, 0], values.reshape(2, 33, 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("header", "gyroscope"),
    [
        ("time,seconds_elapsed,z,y,x", "Gyroscope.csv"),
        ('"Time (s)","X (m/s^2)","Y (m/s^2)","Z (m/s^2)"', "Gyroscope.csv"),
    ],
)
def test_logs_of_phones(tmp_path: Path, header: str, gyroscope: str) -> None:
    stamped = "elapsed" in header
    for name, scale in (("Accelerometer.csv", 1), (gyroscope, 10)):
        rows = [header]
        for i in range(21):
            moment = [str(1_700_000_000_000_000_000 + i * 20_000_000)] if stamped else []
            xyz = [scale * i, scale * i + 1, scale * i + 2]
            rows.append(",".join([*moment, f"{i / 50:.4f}", *map(str, xyz[::-1] if stamped else xyz)]))
        put(tmp_path, f"ann_walk/{name}", "\n".join(rows))
    archive = load(tmp_path, "phone", pattern="(?P<subject>[a-z]+)_(?P<label>[a-z]+)")
    assert (archive.fps, archive.lengths.tolist(), archive.class_names) == (50.0, [21], ["walk"])
    assert archive.units == ("as recorded" if stamped else "m/s^2")
    steps = np.arange(21)[:, None] + np.arange(3)
    np.testing.assert_allclose(archive.clip(0)[:, 0, 0], steps, atol=1e-4)
    np.testing.assert_allclose(archive.clip(0)[:, 0, 1], 10 * np.arange(21)[:, None] + np.arange(3), atol=1e-3)


def test_of_several_accelerations_of_a_log_the_one_with_gravity_is_read(tmp_path: Path) -> None:
    """Sensor Logger writes all of them; what it calls the accelerometer is without gravity."""
    for name, first in (("Accelerometer", 1), ("AccelerometerUncalibrated", 2), ("TotalAcceleration", 3)):
        put(tmp_path, f"a/{name}.csv", "\n".join(["time,x,y,z", *(f"{i / 50:.3f},{first},2,3" for i in range(9))]))
        archive = load(tmp_path, "phone", unit="g")
        assert (len(archive), archive.units) == (1, "g")
        assert archive.clip(0)[0, 0, 0, 0] == (3 if first == 3 else 1)
    with pytest.raises(ConfigError, match=r"--unit mm: 'mm' is no unit of a sensor; known: m/s"):
        load(tmp_path, "phone", unit="mm")
    assert load(tmp_path, "phone", unit="g, dps").units == "g, deg/s"
    with pytest.raises(ConfigError, match=r"gives 3 units for 2 nodes .*; give 1 or 2"):
        load(tmp_path, "phone", unit="g, deg/s, uT")
    put(tmp_path, "a/Gyroscope.csv", "\n".join(["time,x,y,z", *(f"{i / 50:.3f},1,2,3" for i in range(9))]))
    with pytest.warns(MotetNote, match="the unit g says nothing of gyroscope; .* --unit 'g, deg/s'"):
        load(tmp_path, "phone", unit="g")


def test_logs_of_other_units_are_no_archive_together(tmp_path: Path) -> None:
    for name, unit in (("a", "g"), ("b", "g"), ("c", "m/s^2")):
        if name == "c":
            assert load(tmp_path, "phone").units == "g"
        lines = [f"time,x ({unit}),y ({unit}),z ({unit})", *(f"{i / 50:.3f},1,2,3" for i in range(50))]
        put(tmp_path, f"{name}/Accelerometer.csv", "\n".join(lines))
    with pytest.raises(DataError, match=r"holds logs in several units \(g, m/s\^2\), .*; import them apart"):
        load(tmp_path, "phone")
    put(tmp_path, "a/Accelerometer.csv", "")  # that it cannot be read is said when it is read
    put(tmp_path, "b/Accelerometer.csv", "\n".join(lines))
    assert phone.discover(tmp_path / "in", phone.Options()).measure == "m/s^2"


def test_a_pause_of_a_log_is_absent(tmp_path: Path) -> None:
    times = [i / 50 for i in [*range(100), *range(200, 250)]]
    put(tmp_path, "a/Accelerometer.csv", "\n".join(["time,x,y,z", *(f"{t:.3f},1,2,3" for t in times)]))
    archive = load(tmp_path, "phone")
    there = archive.clip(0)[:, 0, 0].any(axis=-1)
    assert (archive.fps, len(there), there[:100].all(), there[100:200].any(), there[200:].all()) == (50, 250, 1, 0, 1)


@pytest.mark.parametrize(
    ("people", "rows"),
    [(("Bob", "Ann", ""), [(2, "Bob"), (1, "Ann"), (None, None)]), (("33", "", "7"), [(33,), (None,), (7,)])],
)
def test_people_of_wisdm_by_name_are_numbered(tmp_path: Path, people: tuple[str, ...], rows: list[Any]) -> None:
    put(tmp_path, "a_raw.txt", "".join(f"{n},Walking,{t},1,2,3;" for n in people for t in range(3)))
    clips = load(tmp_path, "phone").clips
    assert clips.select("subject", *["subject_name"] * ("Ann" in people)).rows() == rows


def test_wisdm(tmp_path: Path) -> None:
    put(
        tmp_path,
        "WISDM_ar_v1.1_raw.txt",
        "33,Jogging,1,1,2,3;\n33,Jogging,2,4,5,6;33,Walking,3,7,8,9;\n,;\n17,Walking,4,1,1,1;",
    )
    archive = load(tmp_path, "phone")
    assert archive.clips.select("length", "label", "subject").rows() == [(2, 0, 33), (1, 1, 33), (1, 1, 17)]
    np.testing.assert_array_equal(archive.clip(0)[:, 0, 0], [[1, 2, 3], [4, 5, 6]])
    assert (archive.fps, archive.units) == (20.0, "m/s^2, rad/s")


def test_pamap2(tmp_path: Path) -> None:
    table = np.arange(5 * 54, dtype=float).reshape(5, 54)
    table[:, 1] = [0, 4, 4, 24, 24]
    table[1, 23] = np.nan
    text = "\n".join(" ".join(map(str, row)) for row in table.tolist())
    put(tmp_path, "Protocol/subject101.dat", text)
    archive = load(tmp_path, "phone", place="chest")
    assert [archive.class_names[i] for i in archive.labels] == ["walking", "rope jumping"]
    assert archive.clips.select("length", "subject").rows() == [(2, 101), (2, 101)]
    np.testing.assert_array_equal(archive.clip(0)[0, 0], [[75, 76, 0], [81, 82, 83]])


def test_uci_har(tmp_path: Path) -> None:
    signals = RNG.normal(size=(6, 3, 128)).round(4)
    names = [f"body_{kind}_{a}_train.txt" for kind in ("acc", "gyro") for a in "xyz"]
    for name, values in zip(names, signals, strict=True):
        rows = "\n".join(" ".join(map(str, row)) for row in values.tolist())
        put(tmp_path, f"train/Inertial Signals/{name}", rows)
    put(tmp_path, "train/y_train.txt", "5\n1\n6\n")
    put(tmp_path, "train/subject_train.txt", "1\n1\n3\n")
    archive = load(tmp_path, "phone")
    assert archive.clips.select("label", "subject", "split").rows() == [
        (4, 1, "train"),
        (0, 1, "train"),
        (5, 3, "train"),
    ]
    np.testing.assert_allclose(archive.clip(1)[:, 0].reshape(128, 6), signals[:, 1].T, rtol=1e-5)
    assert archive.units == "g, rad/s"
    for axis in "xyz":  # with gravity, which goes before
        put(tmp_path, f"train/Inertial Signals/total_acc_{axis}_train.txt", "\n".join([" ".join(["7"] * 128)] * 3))
    archive = load(tmp_path, "phone")
    assert len(archive) == 3
    assert (archive.clip(1)[:, 0, 0] == 7).all()
    np.testing.assert_allclose(archive.clip(1)[:, 0, 1], signals[3:, 1].T, rtol=1e-5)


def test_annotations_of_a_whole_body(tmp_path: Path) -> None:
    points = RNG.uniform(1, 99, (133, 2)).round(2)
    rows = [[x, y, 2] for x, y in points.tolist()]
    parts = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
    one: dict[str, Any] = {"image_id": 1}
    at = 0
    for name, count in parts.items():
        one[name] = np.ravel(rows[at : at + count]).tolist()
        at += count
    put(tmp_path, "a.json", json.dumps({"images": [{"id": 1, "file_name": "7.jpg"}], "annotations": [one]}))
    archive = load(tmp_path, "openpose")
    np.testing.assert_allclose(archive.clip(0)[0, 0], points, rtol=1e-6)
    body = archive.skeleton
    assert [body.joints[body.parents[body.index(j)]] for j in ("left_pinky_finger4", "face-0", "right_heel")] == [
        "left_pinky_finger3",
        "face-1",
        "right_ankle",
    ]
    assert {body.index(j) for j in ("left_hand_root", "left_thumb4")} <= set(body.parts["left_arm"])


@pytest.mark.parametrize(("width", "extra"), [(3, "0.9 4"), (3, ""), (2, ""), (3, "4"), (3, "0.5")])
def test_labels_of_yolo(tmp_path: Path, width: int, extra: str) -> None:
    points = RNG.uniform(0.1, 0.9, (2, 17, 2)).round(5)
    for number, marks in zip((3, 6), points, strict=True):
        cells = [*marks.tolist()] if width == 2 else [[*mark, 0.7] for mark in marks.tolist()]
        line = " ".join(map(str, [0, 0.5, 0.5, 0.2, 0.4, *np.ravel(cells).tolist()]))
        put(tmp_path, f"labels/cam_{number}.txt", f"{line} {extra}\n")
    put(tmp_path, "classes.txt", "person\n")
    archive = load(tmp_path, "openpose", width=200, height=100)
    assert (archive.units, archive.lengths.tolist(), archive.clips["name"].to_list()) == ("px", [4], ["labels/cam"])
    np.testing.assert_allclose(archive.clip(0)[[0, 3], 0], points * [200, 100], rtol=1e-6)
    assert not archive.clip(0)[1:3].any()
    assert load(tmp_path, "openpose").units == "shares of the picture"
    put(tmp_path, "labels/cam_7.txt", "0 0.5 0.5 0.2\n")
    with pytest.raises(DataError, match=r"cam_7.txt, line 1: 4 numbers instead of class, box and 17 key points"):
        load(tmp_path, "openpose")


def test_human36m_in_space(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    walk, sit = (RNG.normal(size=(n, 32, 3)).astype(np.float32) for n in (4, 3))
    content = {"S1": {"Walking 1": walk}, "S11": {"SittingDown": sit}}
    np.savez_compressed(tmp_path / "in" / "data_3d_h36m.npz", positions_3d=np.array(content, dtype=object))
    archive = load(tmp_path, "h36m", up="+z")
    assert (archive.fps, archive.units, archive.skeleton.name, archive.skeleton.up) == (50.0, "m", "h36m-17", "+z")
    rows = archive.clips.select("name", "subject", "repetition").rows()
    assert rows == [("data_3d_h36m/S1/Walking 1", 1, 1), ("data_3d_h36m/S11/SittingDown", 11, None)]
    assert [archive.class_names[i] for i in archive.labels] == ["Walking", "SittingDown"]
    np.testing.assert_array_equal(archive.clip(0)[:, 0], walk[:, list(h36m.KEPT)])
    assert archive.source["split"] == "test-subjects:9,11"


def test_human36m_in_pictures_and_as_hdf5(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    views = [RNG.uniform(1, 999, (3, 17, 2)) for _ in range(2)]
    path = tmp_path / "in" / "data_2d_h36m_gt.npz"
    np.savez(path, positions_2d=np.array({"S9": {"TakingPhoto 2": views}}, dtype=object), metadata=np.array({}))
    archive = load(tmp_path, "h36m")
    assert archive.clips.select("camera", "subject", "repetition").rows() == [(1, 9, 2), (2, 9, 2)]
    assert ([archive.class_names[i] for i in archive.labels], archive.units) == (["Photo", "Photo"], "px")
    np.testing.assert_allclose(archive.clip(1)[:, 0], views[1], rtol=1e-6)
    path.unlink()
    h5py = pytest.importorskip("h5py", reason="needs the extra h5")
    points = RNG.normal(size=(5, 32, 3)) * 1000
    (tmp_path / "in" / "S5" / "3D_positions").mkdir(parents=True)
    with h5py.File(tmp_path / "in" / "S5" / "3D_positions" / "Eating 2.h5", "w") as file:
        file["3D_positions"] = points.reshape(5, 96).T
    archive = load(tmp_path, "h36m", up="+z")
    assert archive.clips.select("subject", "repetition", "label").rows() == [(5, 2, 2)]
    np.testing.assert_allclose(archive.clip(0)[:, 0], points[:, list(h36m.KEPT)] / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    "content", [{"S1": 3}, {"S1": {"a": [1, "x"]}}, 5, {"S1": {"a": np.zeros((2, 5, 3))}}, {1: {}}]
)
def test_human36m_of_other_things(tmp_path: Path, content: Any) -> None:
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", positions_3d=np.array(content, dtype=object))
    with pytest.raises(DataError, match=r"a\.npz"):
        load(tmp_path, "h36m")


def test_wisdm_gyroscopes_are_no_accelerometers(tmp_path: Path) -> None:
    put(tmp_path, "data_1600_gyro_watch.txt", "1600,A,252207918580802,1,2,3;\n1600,A,252207918580803,4,5,6;\n")
    archive = load(tmp_path, "phone")
    np.testing.assert_array_equal(archive.clip(0)[:, 0], [[[0, 0, 0], [1, 2, 3]], [[0, 0, 0], [4, 5, 6]]])


def test_a_table_of_too_many_columns_is_refused_at_its_header(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", ",".join(f"j{i}_x" for i in range(20_001)) + "\n" + "1," * 20_000 + "1\n")
    for name in ("csv", "anipose"):
        with pytest.raises(DataError, match=r"20,001 columns; tables of up to 20,000 are read"):
            load(tmp_path, name)
