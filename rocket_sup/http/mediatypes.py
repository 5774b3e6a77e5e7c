"""The media type of a file, by the end of its name.

The table is our own, so that a file is the same thing on every machine: the standard library's would read
what the machine says, and differs from version to version. Text has its charset, as nobody else tells a
browser.

Spec: RFC 9110 §8.3; the registry of media types at IANA
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "application/octet-stream"

# Media type: the ends of names, without the dot.
_TYPES: Final = {
    # documents of the web
    "text/html": "html htm",
    "text/css": "css",
    "text/javascript": "js mjs cjs",
    "application/json": "json map",
    "application/manifest+json": "webmanifest",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/wasm": "wasm",
    "application/xml": "xml xsl xsd rng",
    "application/xhtml+xml": "xhtml xht",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    # text
    "text/plain": "txt text log conf ini cfg toml",
    "text/markdown": "md markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics",
    "text/vcard": "vcf",
    "text/vtt": "vtt",
    "text/x-python": "py pyi",
    "text/x-c": "c h",
    "text/x-rst": "rst",
    "application/yaml": "yaml yml",
    "application/x-sh": "sh",
    # images
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/jxl": "jxl",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/svg+xml": "svg",
    "image/vnd.microsoft.icon": "ico",
    # sound and film
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg oga opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/midi": "mid midi",
    "audio/webm": "weba",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/quicktime": "mov qt",
    "video/mpeg": "mpeg mpg",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
    "video/mp2t": "ts",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    # fonts
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "application/vnd.ms-fontobject": "eot",
    # documents of offices
    "application/pdf": "pdf",
    "application/postscript": "ps eps ai",
    "application/rtf": "rtf",
    "application/epub+zip": "epub",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
    # archives and programs
    "application/zip": "zip whl",
    "application/gzip": "gz tgz",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/zstd": "zst",
    "application/x-brotli": "br",
    "application/x-tar": "tar",
    "application/x-7z-compressed": "7z",
    "application/vnd.rar": "rar",
    "application/java-archive": "jar",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/vnd.apache.parquet": "parquet",
}
_BY_END: Final[Mapping[str, str]] = {end: kind for kind, ends in _TYPES.items() for end in ends.split()}


def media_type_of(name: str, *, charset: str = "utf-8") -> str:
    """Tell the media type of a file, with the charset if it is text.

    Args:
        name: of the file; a path will do. One that only starts with a dot has no end.
        charset: of text; "" says none.

    Returns: `application/octet-stream` for what is not known.
    """
    stem, dot, end = name.rpartition("/")[2].rpartition(".")
    kind = _BY_END.get(end.lower(), DEFAULT) if dot and stem else DEFAULT
    return with_charset(kind, charset)


def with_charset(kind: str, charset: str) -> str:
    """Add the charset to the type of a text that names none."""
    if charset and kind.startswith("text/") and "charset=" not in kind:
        return f"{kind}; charset={charset}"
    return kind
