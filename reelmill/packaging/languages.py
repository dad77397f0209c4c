"""Languages by the codes that containers have (ISO 639-2) and those that playlists want (BCP 47)."""

from __future__ import annotations

_BY_TWO_LETTERS = {
    "ar": ("ara", "العربية"), "bg": ("bul", "Български"), "bn": ("ben", "বাংলা"), "ca": ("cat", "Català"),
    "cs": ("ces cze", "Čeština"), "cy": ("cym wel", "Cymraeg"), "da": ("dan", "Dansk"), "de": ("deu ger", "Deutsch"),
    "el": ("ell gre", "Ελληνικά"), "en": ("eng", "English"), "es": ("spa", "Español"), "et": ("est", "Eesti"),
    "eu": ("eus baq", "Euskara"), "fa": ("fas per", "فارسی"), "fi": ("fin", "Suomi"), "fr": ("fra fre", "Français"),
    "ga": ("gle", "Gaeilge"), "gl": ("glg", "Galego"), "he": ("heb", "עברית"), "hi": ("hin", "हिन्दी"),
    "hr": ("hrv", "Hrvatski"), "hu": ("hun", "Magyar"), "hy": ("hye arm", "Հայերեն"), "id": ("ind", "Indonesia"),
    "is": ("isl ice", "Íslenska"), "it": ("ita", "Italiano"), "ja": ("jpn", "日本語"), "ka": ("kat geo", "ქართული"),
    "ko": ("kor", "한국어"), "lt": ("lit", "Lietuvių"), "lv": ("lav", "Latviešu"), "mk": ("mkd mac", "Македонски"),
    "ms": ("msa may", "Melayu"), "nb": ("nob", "Norsk bokmål"), "nl": ("nld dut", "Nederlands"), "no": ("nor", "Norsk"),
    "pl": ("pol", "Polski"), "pt": ("por", "Português"), "ro": ("ron rum", "Română"), "ru": ("rus", "Русский"),
    "sk": ("slk slo", "Slovenčina"), "sl": ("slv", "Slovenščina"), "sq": ("sqi alb", "Shqip"), "sr": ("srp", "Српски"),
    "sv": ("swe", "Svenska"), "ta": ("tam", "தமிழ்"), "th": ("tha", "ไทย"), "tr": ("tur", "Türkçe"),
    "uk": ("ukr", "Українська"), "ur": ("urd", "اردو"), "vi": ("vie", "Tiếng Việt"), "zh": ("zho chi", "中文"),
}  # fmt: skip
_TWO_LETTERS = {code: two for two, (codes, _) in _BY_TWO_LETTERS.items() for code in codes.split()}


def language_tag(language: str | None) -> str | None:
    """Return the tag of a language: the two letters where there are, else the code as it is."""
    if language is None:
        return None
    primary, separator, rest = language.replace("_", "-").partition("-")
    return _TWO_LETTERS.get(primary.lower(), primary.lower()) + separator + rest


def language_name(language: str | None) -> str | None:
    """Return what the language's speakers call it; the tag where that is not known."""
    tag = language_tag(language)
    return None if tag is None else _BY_TWO_LETTERS.get(tag.partition("-")[0], ("", tag))[1]
