"""Combine: collects what the encode and track tasks made, and says which outputs can be merged."""

from __future__ import annotations

from typing import Any

from reelmill.manifest import OutputReport, PictureReport, RenditionReport
from reelmill.planning.picture_plan import PictureSet
from reelmill.planning.plan import OutputPlan, Plan
from reelmill.records import PieceRecord, QualityRecord, StillsRecord, TrackRecord
from reelmill.storage.store import Staged


class Gathered:
    """The finished pieces, tracks and outputs of one plan.

    Where `pieces_may_change`, a piece is finished when it was measured: it may be another one by then.
    """

    def __init__(self, plan: Plan, *, pieces_may_change: bool = False):
        self._plan = plan
        self._pieces_may_change = pieces_may_change
        self._merging: set[str] = set()
        self.pieces: dict[str, list[PieceRecord]] = {video.id: [] for video in plan.video}
        self.tracks: dict[str, TrackRecord] = {}
        self.quality: list[QualityRecord] = []
        self.reports: dict[str, OutputReport] = {}
        self.stills: dict[int, StillsRecord] = {}
        self.pictures: dict[str, PictureReport] = {}
        self.staged: dict[str, tuple[Staged, ...]] = {}

    def take(self, kind: str, name: str, number: int, result: Any) -> None:
        """Collect what a task of this kind gave for what it is named by."""
        match kind:
            case "encode":
                for piece in () if self._pieces_may_change else result:
                    self.pieces[piece.rendition].append(piece)
            case "track":
                self.tracks[name] = result
            case "quality":
                self.quality.append(result.quality)
                if self._pieces_may_change:
                    self.pieces[name].append(result.piece)
            case "stills":
                self.stills[number] = result
            case "pictures":
                self.pictures[name], self.staged[name] = result
            case _:
                self.reports[name], self.staged[name] = result

    def ready_outputs(self) -> list[OutputPlan]:
        """Return the outputs whose last piece or track came since the last call."""
        ready = [
            output for output in self._plan.outputs if output.format not in self._merging and self._has_all(output)
        ]
        self._merging.update(output.format for output in ready)
        return ready

    def _has_all(self, output: OutputPlan) -> bool:
        if any(track not in self.tracks for track in output.tracks):
            return False
        videos = (self._plan.rendition(each) for each in output.videos)
        return all(len(self.pieces[each.id]) == len(each.segments) for each in videos)

    def ready_pictures(self) -> list[PictureSet]:
        """Return the sets of pictures whose last stills came since the last call."""
        plan = self._plan.pictures
        if plan is None:
            return []
        missing = {kind for each in plan.stills if each.number not in self.stills for kind in each.kinds}
        ready = [each for each in plan.sets if each.kind not in missing and each.kind not in self._merging]
        self._merging.update(each.kind for each in ready)
        return ready

    def stills_of(self, pictures: PictureSet) -> list[StillsRecord]:
        """Return the records of the stills that a set is made of."""
        plan = self._plan.pictures
        assert plan is not None
        return [self.stills[each.number] for each in plan.stills if pictures.kind in each.kinds]

    def rendition_reports(self) -> tuple[list[RenditionReport], list[str]]:
        """Return what each rendition took, and what its decoders complained of."""
        reports: list[RenditionReport] = []
        warnings: list[str] = []
        for video in self._plan.video:
            mine = self.pieces[video.id]
            reports.append(
                RenditionReport(
                    id=video.id, kind="video", codec=video.codec, segments=len(mine), frames=video.frames,
                    cpu_s=round(sum(each.cpu_s for each in mine), 3),
                    wall_s=round(sum(each.wall_s for each in mine), 3),
                    burned_subtitles=video.subtitles.name if video.subtitles else None,
                    reused_segments=sum(each.reused for each in mine),
                )
            )  # fmt: skip
            complaints = [message for each in mine for message in each.messages]
            if complaints:
                warnings.append(f"MediaDamaged: the decoder reported {len(complaints)} errors, first: {complaints[0]}")
        for track in self._plan.tracks:
            record = self.tracks[track.id]
            reports.append(
                RenditionReport(
                    id=track.id, kind=track.kind, codec="copy" if track.copies else track.codec, segments=1,
                    frames=None, cpu_s=round(record.cpu_s, 3), wall_s=round(record.wall_s, 3),
                    reused_segments=int(record.reused),
                )
            )  # fmt: skip
            warnings.extend(record.warnings)
        return reports, warnings
