"""MotionArchive: clips of any length, end to end in one memory-mapped array.

A directory with three files (and a fourth where the source has confidences)::

    archive.json      skeleton, units, fps, class names, provenance, licence, version and digests
    clips.parquet     one row a clip: name, offset, length, persons, label, subject, …, sha256
    frames.npy        (sum of lengths, P, V, C), float32 or float16; an absent person or joint is zero
    confidence.npy    (sum of lengths, P, V), same dtype, optional
    sensors/NAME/     an archive of the sensor NAME that recorded next to the skeletons, optional
    tracks/           labels along time, which may be edited later: see motet.data.tracks

A sensor next to the skeletons (inertial, a watch …) has its own rate and its own number of samples, so it is an archive
of its own inside; its clips have the names of the clips next to which they were recorded, and a clip that the sensor
did not record is absent from it.

It is written to a temporary name next to its destination and renamed when complete, and never changed in place.
"""

from motet.data.archive.files import ARCHIVE_VERSION, clip_digest
from motet.data.archive.reader import MotionArchive
from motet.data.archive.writer import ArchiveWriter, Sensor
from motet.data.clip_table import COLUMNS

__all__ = ["ARCHIVE_VERSION", "COLUMNS", "ArchiveWriter", "MotionArchive", "Sensor", "clip_digest"]
