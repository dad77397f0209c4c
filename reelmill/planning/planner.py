"""Turns a job and a probed source into a plan. Pure: reads nothing, runs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from reelmill.errors import NoVideoStream
from reelmill.formats import FORMATS, Format, FormatName
from reelmill.media.frame_index import FrameIndex
from reelmill.media.images import Image
from reelmill.media.source import Source
from reelmill.media.subtitles import Subtitles
from reelmill.planning.encode_tasks import encode_tasks
from reelmill.planning.joining import Probed, first_of, in_one_clock, join_plan
from reelmill.planning.ladder import ladder_of, segment_starts, with_keyframes
from reelmill.planning.pictures import plan_pictures
from reelmill.planning.plan import EncodeTask, LeftOut, OutputPlan, PackagePlan, Plan, TrackRendition, VideoRendition
from reelmill.planning.segments import FILTER_LEAD_FRAMES, Cut, choose_cut, resampled_segments_of, segments_of
from reelmill.planning.subtitles import spans_not_cut
from reelmill.planning.tracks import audio_tracks, name_of, other_left_out, subtitle_tracks
from reelmill.planning.video import is_hdr, nominal_rate, video_rendition
from reelmill.profiles.profile import Profile, check_formats

_NO_IMAGES: Mapping[str, Image] = {}


def make_plan(
    *,
    job_key: str,
    base_name: str,
    source: Source,
    index: FrameIndex | None,
    more: Sequence[Probed] = (),
    profile: Profile,
    formats: Sequence[FormatName],
    workers: int,
    segment_s: float | None,
    default_segment_s: float,
    most_encode_tasks: int,
    images: Mapping[str, Image] = _NO_IMAGES,
    font: str | None = None,
    subtitles: Subtitles | None = None,
    whole_because: str | None = None,
) -> Plan:
    """Plan the job: unique renditions, segments, tracks, outputs, and the order of work (longest first).

    `index` has the times of the video's frames, None when there is no video; `images` are those that the profile lays
    over it, `font` names the font of its texts, `subtitles` are drawn into it. `more` are sources that follow the
    first. With `whole_because` nothing is cut, and that is the reason given. Raises JobRejected where a format can't be
    made of this source.
    """
    check_formats(profile, formats)
    containers = [FORMATS[each] for each in formats]
    probed: tuple[Probed, ...] = ()
    if more:
        probed = in_one_clock([Probed(source, index), *more])
        constant_rate = not all(each.variable_frame_rate for each in containers if not each.is_audio_only)
        first, profile = first_of(probed, profile, constant_rate=constant_rate)
        source, index = first.source, first.index
    video, by_format = _video_renditions(source, index, containers, profile, images, font, subtitles)

    def cut_video(video: Sequence[VideoRendition], index: FrameIndex) -> tuple[list[VideoRendition], Cut]:
        starts: tuple[int, ...] = ()
        if any(each.fixed_keyframes for each in video):
            starts = segment_starts(index, profile.streaming.exact_segment_s)
        if whole_because:
            index = replace(index, entries=())  # decoding starts with the file
        cut = Cut((), f"not cut: {whole_because}") if whole_because else choose_cut(
            index, target_s=segment_s, default_s=default_segment_s, workers=workers,
            most_segments=max(most_encode_tasks // len(video) // (1 + len(more)), 1),
            lead=FILTER_LEAD_FRAMES * any(_looks_back(each) for each in video),
            allowed=starts, uncut=_uncut(source, index, video, subtitles),
        )  # fmt: skip
        return [_with_segments(each, index, cut, starts) for each in video], cut

    cut = Cut((), "")
    if index is not None and video:
        video, cut = cut_video(video, index)
    tracks: dict[str, TrackRendition] = {}
    outputs = [
        _output(source, each, profile, by_format.get(each.name, ()), base_name, tracks)
        for each in containers
        if not each.packaged
    ]
    packaged = [each for each in containers if each.packaged]
    if packaged:
        rate = nominal_rate(source.video, index) if source.video is not None and index is not None else None
        rungs = by_format.get(packaged[0].name, ())
        outputs.append(_package(source, packaged, profile, rungs, base_name, tracks, rate))
    pictures, without_pictures = None, ()
    if profile.pictures is not None:
        careful = whole_because is not None
        pictures, without_pictures = plan_pictures(source, index, profile.pictures, base_name, careful=careful)
    plan = Plan(
        job_key=job_key,
        source=source,
        video=tuple(video),
        tracks=tuple(sorted(tracks.values(), key=lambda track: -track.cost)),
        outputs=tuple(each.model_copy(update=_avi_rate(each, source, index)) for each in outputs),
        order=(),
        encoder_threads=1,
        source_frames=len(index) if index else None,
        index_origin=index.origin if index else "packets",
        reasons=tuple(_reasons(cut, index, video, profile)),
        warnings=(*source.warnings, *_warnings(source, index, video, containers), *without_pictures),
        pictures=pictures,
    )
    if more:
        plan = join_plan(plan, probed, profile.video, lambda video, index: cut_video(video, index)[0])
    return _in_order(plan, workers)


def _in_order(plan: Plan, workers: int) -> Plan:
    """Return the plan with its encodes as tasks."""
    order = encode_tasks(plan.video, workers)
    threads = max(1, workers // max(1, plan.encodes))
    return plan.model_copy(
        update={"order": order, "encoder_threads": threads, "reasons": (*plan.reasons, *_sharing(order))}
    )


def _video_renditions(
    source: Source,
    index: FrameIndex | None,
    containers: Iterable[Format],
    profile: Profile,
    images: Mapping[str, Image],
    font: str | None,
    subtitles: Subtitles | None,
) -> tuple[list[VideoRendition], dict[str, tuple[str, ...]]]:
    """Return the unique video renditions, each under a name of its own, and which ones each format gets."""
    by_recipe: dict[str, VideoRendition] = {}
    by_format: dict[str, tuple[str, ...]] = {}
    for container in containers:
        if container.is_audio_only or (container.packaged and source.video is None and source.audio):
            continue
        if source.video is None or index is None:
            raise NoVideoStream(f"{source.name} has no video for {container.name}")
        for wanted in ladder_of(source.video, profile) if container.packaged else [profile.video]:
            made = video_rendition(source, index, container, profile, wanted, images, font, subtitles)
            if made.recipe not in by_recipe:
                taken = {each.id for each in by_recipe.values()}
                name = next(n for n in _names(made.id) if n not in taken)
                by_recipe[made.recipe] = made.model_copy(update={"id": name})
            by_format[container.name] = (*by_format.get(container.name, ()), by_recipe[made.recipe].id)
    return list(by_recipe.values()), by_format


def _uncut(
    source: Source, index: FrameIndex, video: Iterable[VideoRendition], subtitles: Subtitles | None
) -> tuple[tuple[int, int], ...]:
    """Return the spans in which no cut may be: what libass draws there depends on what it drew before."""
    rates = [each.frame_rate for each in video if each.subtitles is not None]
    return spans_not_cut(subtitles, source, index, rates) if subtitles is not None and rates else ()


def _names(base: str) -> Iterable[str]:
    yield base
    yield from (f"{base}-{number}" for number in range(2, 1000))


def _looks_back(rendition: VideoRendition) -> bool:
    """Whether a filter of the rendition must see frames before the first that is kept."""
    return rendition.deinterlace or rendition.frame_rate is not None or rendition.denoise == "light"


def _with_segments(rendition: VideoRendition, index: FrameIndex, cut: Cut, starts: Sequence[int]) -> VideoRendition:
    if rendition.codec == "copy":
        return rendition
    if rendition.frame_rate:
        segments = resampled_segments_of(index, cut.boundaries, rendition.frame_rate)
    else:
        segments = segments_of(index, cut.boundaries, FILTER_LEAD_FRAMES if _looks_back(rendition) else 0)
    if rendition.fixed_keyframes:
        segments = with_keyframes(segments, index, starts, rendition.frame_rate)
    return rendition.model_copy(update={"segments": segments})


def _output(
    source: Source, container: Format, profile: Profile, videos: tuple[str, ...], base_name: str,
    tracks: dict[str, TrackRendition],
) -> OutputPlan:  # fmt: skip
    audio, audio_left = audio_tracks(source, container, profile)
    subtitles, subtitles_left = subtitle_tracks(source, container) if videos else ([], _no_subtitles(source, container))
    mine = [_shared(track, tracks) for track in (*audio, *subtitles)]
    return OutputPlan(
        format=container.name,
        file_name=f"{base_name}.{container.name}",
        video=videos[0] if videos else None,
        tracks=tuple(mine),
        left_out=(*audio_left, *subtitles_left, *other_left_out(source, container)),
    )


def _package(
    source: Source, containers: Sequence[Format], profile: Profile, rungs: tuple[str, ...], base_name: str,
    tracks: dict[str, TrackRendition], source_rate: Fraction | None,
) -> OutputPlan:  # fmt: skip
    """Plan one folder for all formats that are packaged: they have the same renditions, and share the segments."""
    plain = _output(source, containers[0], profile, rungs, base_name, tracks)
    audio = [tracks[each] for each in plain.tracks if tracks[each].kind == "audio"]
    package = PackagePlan(
        formats=tuple(each.name for each in containers),
        rungs=rungs,
        default_audio=next(
            (each.id for each in audio if "default" in each.dispositions), audio[0].id if audio else None
        ),
        file_per_segment=profile.streaming.files == "segments",
        segment_s=profile.streaming.exact_segment_s,
        frame_rate=profile.video.frames_per_s or source_rate,
    )
    return plain.model_copy(update={"file_name": f"{base_name}.stream", "video": None, "package": package})


def _shared(track: TrackRendition, tracks: dict[str, TrackRendition]) -> str:
    """Return the id of the one rendition with this recipe, adding it to `tracks` when it is new."""
    for known in tracks.values():
        if known.recipe == track.recipe:
            return known.id
    name = next(each for each in _names(track.id) if each not in tracks)
    tracks[name] = track.model_copy(update={"id": name})
    return name


def _no_subtitles(source: Source, container: Format) -> list[LeftOut]:
    return [
        LeftOut(what=name_of("subtitles", each), reason=f"{container.name} is audio only") for each in source.subtitles
    ]


def _avi_rate(output: OutputPlan, source: Source, index: FrameIndex | None) -> dict[str, object]:
    if output.format != "avi" or source.video is None or index is None:
        return {}
    return {"avi_frame_rate": nominal_rate(source.video, index)}


def _reasons(cut: Cut, index: FrameIndex | None, video: Sequence[VideoRendition], profile: Profile) -> Iterable[str]:
    if cut.reason and any(each.segments for each in video):
        yield cut.reason
    burned = next((each.subtitles for each in video if each.subtitles is not None), None)
    if burned is not None:
        yield f"burned into the picture: {burned.name}, lines: {burned.lines:,}"
    if index is not None and index.origin == "decode":
        yield "the times of the frames were learned by decoding the source once"
    if any(each.codec == "copy" for each in video):
        yield "video is copied: the source already is what the format needs"
    elif video and profile.copy_when_fits:
        yield "video is encoded: the source is not what the profile asks for"


def _sharing(order: Iterable[EncodeTask]) -> Iterable[str]:
    for names in dict.fromkeys(task.renditions for task in order if len(task.renditions) > 1):
        yield f"{', '.join(names)}: made of one decode"


def _warnings(
    source: Source, index: FrameIndex | None, video: Sequence[VideoRendition], containers: Sequence[Format]
) -> Iterable[str]:
    stream = source.video
    if stream is None or index is None:
        return
    for each in video:
        if each.pad != (0, 0):
            yield f"{each.id}: padded by {each.pad[0]} column and {each.pad[1]} row, {each.codec} takes even sizes"
        if each.frame_rate and not index.is_on_grid(each.frame_rate):
            yield f"{each.id}: frames are repeated or dropped to reach {float(each.frame_rate):.3f} a second"
        woven = each.codec != "copy" and not each.deinterlace and not each.interlaced
        if woven and stream.field_order in ("top_first", "bottom_first"):
            yield f"{each.id}: {each.codec} at this size has no interlacing flags; `deinterlace: auto` makes frames"
        if each.codec == "h264" and each.pixel_format not in ("yuv420p",):
            yield f"{each.id}: few players show H.264 in {each.pixel_format}; `pixel_format: yuv420p` is shown by all"
        if is_hdr(stream) and not each.tone_map and "10" not in each.pixel_format and each.codec != "copy":
            yield f"{each.id}: HDR in 8 bits shows bands"
