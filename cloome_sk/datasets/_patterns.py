"""How microscopes name their files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".zarr")
_ARRAY_SUFFIXES = (".npy", ".npz")
_UUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_TIFF = r"\.(?:tiff?|TIFF?)"
_IMAGEXPRESS = (
    rf"(?P<well>[A-Za-z]{{1,2}}\d{{2}})(?:_s(?P<site>\d+))?_w(?P<channel>\d+?)(?:{_UUID})?{_TIFF}"
)

_KNOWN_GROUPS = ("plate", "well", "row", "col", "site", "channel", "plane", "timepoint")


@dataclass(frozen=True)
class Naming:
    """What a file's name, and the folder it is in, say of an image.

    Parameters
    ----------
    file : Pattern
        Matches a whole file name; with `deep`, the last parts of a path as far as it describes
        them.
    folder : Pattern, optional
        Matches the path of a folder, parts divided by ``/``; its groups add to those of the file.
    channels : mapping, optional
        Channel of each label, where the naming fixes that.
    passed_over : Pattern, optional
        Names of files that belong to the naming but are no images of a site.
    deep : bool
        Whether `file` has parts of the path in it.
    example : str
        A file so named.
    """

    file: re.Pattern[str]
    folder: re.Pattern[str] | None = None
    channels: Mapping[str, str] | None = None
    passed_over: re.Pattern[str] | None = None
    deep: bool = False
    example: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of all groups."""
        of_folder = self.folder.groupindex if self.folder is not None else ()
        return tuple(dict.fromkeys([*self.file.groupindex, *of_folder]))

    def match_file(self, folder: str, name: str) -> re.Match[str] | None:
        """The match of one file."""
        if not self.deep:
            return self.file.fullmatch(name)
        for tail in _tails(f"{folder}/{name}"):
            if match := self.file.fullmatch(tail):
                return match
        return None


def _tails(path: str) -> Iterator[str]:
    """The last part of a path, the last two, and so on."""
    end = len(path)
    while (end := path.rfind("/", 0, end)) >= 0:
        yield path[end + 1 :]
    yield path


NAMINGS = {
    "imagexpress": Naming(
        re.compile(rf"(?:.*_)?{_IMAGEXPRESS}"),
        # MetaXpress may put times and planes into folders of their own below the plate.
        re.compile(
            r"(?:^|.*/)(?P<plate>(?!TimePoint_\d+(?:/|$)|ZStep_\d+$)[^/]+)"
            r"(?:/TimePoint_(?P<timepoint>\d+))?(?:/ZStep_(?P<plane>\d+))?"
        ),
        passed_over=re.compile(rf".*_w\d+_thumb(?:{_UUID})?{_TIFF}", re.IGNORECASE),
        example="plate_A01_s1_w1.tif",
    ),
    # "24277-Hoechst/cdp2bioactives_a01_s1_w127df6541-....tif", or all channels below "24277".
    "bray": Naming(
        re.compile(rf"(?:.*_)?{_IMAGEXPRESS}"),
        re.compile(
            r"(?:^|.*/)(?P<plate>[^/]+?)"
            r"(?:-(?P<stain>Hoechst|ERSyto|ERSytoBleed|Ph_golgi|Mito))?"
        ),
        channels={
            "1": "Hoechst",
            "2": "ERSyto",
            "3": "ERSytoBleed",
            "4": "Ph_golgi",
            "5": "Mito",
        },
        example="24277-Hoechst/cdp2bioactives_a01_s1_w1<uuid>.tif",
    ),
    # "Week1_22123/Week1_150607_B02_s1_w107447158-....tif"; of week 4, without the beginning.
    "bbbc021": Naming(
        re.compile(rf"(?:Week\d+_.*_)?{_IMAGEXPRESS}"),
        re.compile(r"(?:^|.*/)(?P<plate>Week\d+_\d+)"),
        channels={"1": "DAPI", "2": "Tubulin", "4": "Actin"},
        example="Week1_22123/Week1_150607_B02_s1_w1<uuid>.tif",
    ),
    "phenix": Naming(
        re.compile(
            r"r(?P<row>\d{2})c(?P<col>\d{2})f(?P<site>\d{2,})p(?P<plane>\d{2,})-ch(?P<channel>\d+)"
            rf"sk(?P<timepoint>\d+)fk\d+fl\d+{_TIFF}"
        ),
        # "BR00126114__2021-09-01T15_39_48-Measurement1/Images"
        re.compile(
            r"(?:^|.*/)(?P<plate>(?!Images$)[^/]+?)"
            r"(?:__\d{4}-\d{2}-\d{2}T[\d_]+-Measurement[ _]?\d+)?(?:/Images)?"
        ),
        example="r01c02f03p01-ch4sk1fk1fl1.tiff",
    ),
}


def naming(pattern: str | re.Pattern[str], *, purpose: str) -> Naming:
    """The naming by its name, or made from a regular expression.

    Raises
    ------
    TypeError, ValueError
        If the pattern is neither, or does not say the well.
    """
    if isinstance(pattern, str) and pattern in NAMINGS:
        return NAMINGS[pattern]
    if not isinstance(pattern, str | re.Pattern) or isinstance(
        getattr(pattern, "pattern", ""), bytes
    ):
        raise TypeError(
            f"{purpose}: pattern is one of {', '.join(NAMINGS)}, or a regular expression, as text, "
            f"got {type(pattern).__name__}."
        )
    if isinstance(pattern, str) and "(?P<" not in pattern:
        raise ValueError(
            f"{purpose}: pattern={pattern!r} is none of {', '.join(NAMINGS)}, and no regular "
            "expression with named groups such as '(?P<well>[A-P][0-9]{2})_(?P<channel>w[0-9])"
            "[.]tif'."
        )
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"{purpose}: pattern={pattern!r} is no regular expression: {error}."
        ) from error
    groups = set(expression.groupindex)
    if "well" not in groups and not {"row", "col"} <= groups:
        raise ValueError(
            f"{purpose}: the pattern does not say the well: it needs a group 'well', or 'row' and "
            f"'col'. Groups seen: {', '.join(sorted(groups)) or 'none'} (known are "
            f"{', '.join(_KNOWN_GROUPS)}; others become Metadata_<group>)."
        )
    return Naming(expression, deep="/" in expression.pattern)


def may_be_image(name: str) -> bool:
    """Whether a file's name is one that an image can have."""
    return name.lower().endswith(_IMAGE_SUFFIXES + _ARRAY_SUFFIXES)


def is_left_out(names: Naming, name: str) -> bool:
    """Whether a name that does not match is worth a word: an image, and no part of the naming."""
    # Arrays beside images are illumination functions more often than images.
    of_naming = names.passed_over is not None and names.passed_over.fullmatch(name) is not None
    return not of_naming and not name.lower().endswith(_ARRAY_SUFFIXES)
