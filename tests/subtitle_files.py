"""Files of subtitles that move, overlap and change, made for tests."""

from __future__ import annotations

from pathlib import Path

ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 640
PlayResY: 360

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,32,&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,1,2,10,10,20,1
Style: Song,Comic Sans MS,28,&H0000FFFF,&H00FF0000,&H00000000,&H80000000,1,0,0,0,100,100,0,0,1,2,0,8,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def ass_file(folder: Path, *events: str) -> Path:
    """A file of events, each `LAYER,START,END,STYLE,TEXT`."""
    rows = (event.split(",", 4) for event in events)
    lines = (f"Dialogue: {layer},{start},{end},{style},,0,0,0,,{text}" for layer, start, end, style, text in rows)
    path = folder / "lines.ass"
    path.write_text(ASS + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def moving_ass(folder: Path) -> Path:
    """A file whose lines fade, move, sing and make room for one another, over eight seconds."""
    return ass_file(
        folder,
        r"0,0:00:00.30,0:00:02.10,Default,{\fad(400,600)}fades in and out",
        r"0,0:00:01.00,0:00:03.40,Default,{\move(40,300,600,40)}moves across",
        r"1,0:00:02.00,0:00:07.50,Song,{\k60}si{\k80}ng{\kf120}ing {\ko90}a{\k60}long",
        r"0,0:00:02.50,0:00:04.00,Default,{\t(\frz360\fscx150)}turns",
        r"0,0:00:05.10,0:00:06.20,Default,the first of two",
        r"0,0:00:05.50,0:00:07.70,Default,the second, which stays where it is",
    )


def srt_file(folder: Path, *cues: tuple[str, str, str], name: str = "lines.srt", encoding: str = "utf-8") -> Path:
    """A file of cues: start, end and text."""
    path = folder / name
    text = "\n".join(f"{n}\n{start} --> {end}\n{words}\n" for n, (start, end, words) in enumerate(cues, start=1))
    path.write_text(text, encoding=encoding)
    return path
