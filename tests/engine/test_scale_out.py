"""Several processes: batch norms over all rows, signals while they join, who started them, what errors say."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from torch import nn

from motet.core import distributed
from motet.core.distributed import SyncedBatchNorm, ended_at_once, lost_peer, own_rows, reason, see_all_rows, started
from motet.core.errors import ConfigError, RunError
from motet.data.archive import MotionArchive
from motet.encoders import SkeletonGRU
from motet.losses import hallucinate, hallucination_loss
from motet.methods.pretrain import resolve
from tests.methods.test_pretrain import TINY


def test_a_synchronised_norm_alone_is_torchs() -> None:
    torch.manual_seed(0)
    plain, synced = (nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())) for _ in range(2))
    before = dict(synced.named_parameters())
    see_all_rows(synced)
    assert isinstance(synced[0], SyncedBatchNorm)
    assert isinstance(synced[1][0], SyncedBatchNorm)
    assert {k: id(v) for k, v in synced.named_parameters()} == {k: id(v) for k, v in before.items()}
    assert plain.state_dict().keys() == synced.state_dict().keys()
    x = torch.randn(7, 3)
    torch.testing.assert_close(synced[0](x), plain[0](x))
    torch.testing.assert_close(synced.state_dict(), plain.state_dict())


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 5)])
def test_a_synchronised_norm_sees_all_rows(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> None:
    """Two processes with a part of the rows each, played by two threads that meet where processes would."""
    torch.manual_seed(1)
    rows, weights = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    whole = kind(3).double()
    given = rows.clone().requires_grad_()
    (whole(given) * weights).sum().backward()

    meeting, waiting = threading.Barrier(2), threading.local()
    parts: dict[int, torch.Tensor] = {}

    def all_reduce(values: torch.Tensor) -> None:
        parts[waiting.rank] = values.clone()
        meeting.wait()
        values.copy_(parts[0] + parts[1])
        meeting.wait()

    monkeypatch.setattr(distributed.dist, "all_reduce", all_reduce)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    cut = shape[0] // 2 - 1  # parts of different size
    found: dict[int, tuple[torch.Tensor, torch.Tensor, nn.Module]] = {}

    def process(rank: int) -> None:
        waiting.rank = rank
        holder = nn.Sequential(kind(3)).double()
        see_all_rows(holder)
        own = (slice(None, cut), slice(cut, None))[rank]
        x = rows[own].clone().requires_grad_()
        out = holder(x)
        # CPU nodes of a graph run backward in the thread that asks for it
        (out * weights[own]).sum().backward()
        assert x.grad is not None
        found[rank] = (out.detach(), x.grad, holder[0])

    threads = [threading.Thread(target=process, args=(r,)) for r in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(found) == {0, 1}
    assert given.grad is not None
    torch.testing.assert_close(torch.cat([found[0][1], found[1][1]]), given.grad)
    for _, _, norm in found.values():
        torch.testing.assert_close(dict(norm.named_buffers()), dict(whole.named_buffers()))
    fresh = kind(3).double()
    torch.testing.assert_close(torch.cat([found[0][0], found[1][0]]), fresh(rows).detach())


def test_encoders_are_synchronised_whole() -> None:
    encoder = SkeletonGRU(4, 1, 3, hidden=4, layers=1)
    holder = nn.ModuleList([encoder])
    see_all_rows(holder)
    assert isinstance(encoder.norm, SyncedBatchNorm)
    assert not [m for m in holder.modules() if type(m) in (nn.BatchNorm1d, nn.BatchNorm2d)]


def test_draws_are_those_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    whole = torch.rand(6, 2)
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    parts = []
    for number in range(3):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        torch.manual_seed(3)
        parts.append(own_rows(lambda n: torch.rand(n, 2), 2))
    assert torch.equal(torch.cat(parts), whole)


def test_parts_of_a_batch_average_to_its_loss() -> None:
    torch.manual_seed(0)
    unit = nn.functional.normalize
    query, anchor, prototypes = (unit(torch.randn(n, 5, dtype=torch.float64)) for n in (4, 4, 3))
    chosen, keep = torch.randint(3, (4, 6)), torch.rand(4, 6) > 0.5
    whole = hallucination_loss(query, hallucinate(anchor, prototypes, chosen, 0.5), keep)
    halves = []
    for rows in (slice(2), slice(2, 4)):
        some = hallucinate(anchor[rows], prototypes, chosen[rows], 0.5)
        halves.append(hallucination_loss(query[rows], some, keep[rows], kept=keep.sum() / 2))
    torch.testing.assert_close(torch.stack(halves).mean(), whole)


def slurm(number: int, processes: int, port: int) -> dict[str, str]:
    """What srun tells a process on one machine."""
    here = {"SLURM_JOB_ID": "7", "SLURM_NODELIST": "127.0.0.1", "SLURM_NNODES": "1", "SLURM_NODEID": "0"}
    here |= {"SLURM_NTASKS": str(processes), "SLURM_NTASKS_PER_NODE": str(processes), "SLURM_JOB_NAME": "motet"}
    here |= {"SLURM_STEP_NUM_TASKS": str(processes), "SLURM_STEP_NUM_NODES": "1", "MASTER_PORT": str(port)}
    return here | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)}


def test_who_started_the_processes(monkeypatch: pytest.MonkeyPatch, small_archive: MotionArchive) -> None:
    for name in [n for n in os.environ if n.startswith(("SLURM_", "TORCHELASTIC")) or n in ("WORLD_SIZE", "RANK")]:
        monkeypatch.delenv(name)
    assert started() is None
    assert resolve("moco", small_archive, TINY)[0].loop.processes == 1
    with monkeypatch.context() as patch:
        for name, value in {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
            patch.setenv(name, value)
        assert started() == (4, 2)
        recipe, _ = resolve("moco", small_archive, TINY)
        assert (recipe.loop.devices, recipe.loop.nodes, recipe.loop.processes) == (4, 2, 8)
        with pytest.raises(ConfigError, match=r"devices is 2, but 4 processes were started on each of 2 machines"):
            resolve("moco", small_archive, {**TINY, "devices": 2})
        with pytest.raises(ConfigError, match="cannot be shared by 8 processes; try --batch-size 8"):
            resolve("moco", small_archive, {**TINY, "batch_size": 12})
    for name, value in slurm(1, 2, 1).items():
        monkeypatch.setenv(name, value)
    assert started() == (2, 1)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")  # a batch script, before srun
    assert started() is None


def test_processes_that_do_not_find_each_other() -> None:
    lost = torch.distributed.DistNetworkError("[c10d] /a/TCPStore.cpp:120 connect() failed: no route to host\nat C++")
    with pytest.raises(RunError, match=r"each other \(connect.. failed: no route to host\)"), ended_at_once(list):
        raise lost
    with pytest.raises(RuntimeError, match="shapes"), ended_at_once(list):
        raise RuntimeError("shapes")
    with pytest.raises(KeyboardInterrupt), ended_at_once(list):
        raise KeyboardInterrupt
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711",
            "Connection closed by peer [127.0.0.1]:4711",
        ),
        (
            "[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1000ms",
            "Timed out waiting 1000ms",
        ),
        (
            "[/a/b/pair.cc:1] Read error [::1]:2: Connection reset by peer. This is typically caused by",
            "Read error [::1]:2: Connection reset by peer",
        ),
        ("[enforce fail at ../a/b.cc:12] " + "word " * 40, "enforce fail at " + " ".join(["word"] * 20) + " …"),
        ("", "RuntimeError"),
    ],
)
def test_reasons_are_short_and_without_places_in_sources(text: str, short: str) -> None:
    assert reason(RuntimeError(text)) == short


def test_errors_that_tell_of_a_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")
    assert not lost_peer(closed)  # alone there is nobody to lose
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    assert lost_peer(closed)
    assert lost_peer(torch.distributed.DistBackendError("NCCL"))
    assert not lost_peer(RuntimeError("shapes cannot be multiplied"))
    assert not lost_peer(ValueError("gloo"))
