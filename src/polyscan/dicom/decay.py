"""From the injection to the moment that PET values are corrected to: clocks, dates, zones and what vendors add."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pydicom import Dataset

from polyscan.dicom.attributes import number, text
from polyscan.errors import PolyscanError

_DAY = timedelta(days=1)
_EARLY = timedelta(hours=1)  # a scan that is started, and only then injected, is dynamic
_FRAME = timedelta(minutes=15)  # the longest usual frame, where its duration is not told
_SAME_CLOCK = 2.4 * 3600  # seconds of half-life: above, a scan may follow the injection by days
_AGREES = timedelta(minutes=1)
_LONG_AGO = timedelta(days=60)  # no nuclide is seen so long
_SOON = 600.0  # seconds of half-life: what decays as fast is injected in the scanner
_MANY = 5.0  # half-lives, after which hardly anything is left to be seen
# Private creators, with the element that holds the moment that values are corrected to (conformance statements).
_PRIVATE = (("GEMS_PETD_01", 0x0009, 0x0D), ("SIEMENS MED PT", 0x0071, 0x22))
_TELLS_ZONE = ("TimezoneOffsetFromUTC", "AcquisitionDateTime", "DecayCorrectionDateTime")
_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})$")


@dataclass(frozen=True)
class Moment:
    """A point in time in the clock of the scanner; ``dated`` tells whether its day is known."""

    time: datetime
    dated: bool


def average_time(duration: float, half_life: float) -> float:
    """Seconds after a frame's start at which its activity is the average over the frame.

    t = ln(k T / (1 - exp(-k T))) / k, with k = ln 2 / half-life (QIBA, vendor-neutral SUV pseudo-code, 2018).
    """
    rate = math.log(2) / half_life
    decayed = rate * duration
    return math.log(decayed / -math.expm1(-decayed)) / rate if decayed > 1e-9 else duration / 2


def scan_start(headers: Sequence[Dataset], half_life: float, notes: list[str]) -> Moment:
    """When the scan began, to which DecayCorrection START refers.

    The series' time where no slice was acquired before it; of a series that was made later, the vendor's private time,
    else the frames' acquisition times less their FrameReferenceTime, else the earliest acquisition (QIBA, the same).
    An enhanced object names the moment itself.

    Raises:
        PolyscanError: no time is told at all.
    """
    named = text(headers[0], "DecayCorrectionDateTime")
    if len(named) > 8:
        return Moment(_stamp(named, headers[0]), True)
    acquired = [found for header in headers if (found := acquisition(header))]
    series = min((found.time for header in headers if (found := _moment(header, "Series"))), default=None)
    dated = any(found.dated for found in acquired) or bool(text(headers[0], "SeriesDate"))
    if not acquired:
        if series is None:
            raise PolyscanError(
                "Neither SeriesTime (0008,0031) nor AcquisitionTime (0008,0032) is given; add one of them."
            )
        return Moment(series, dated)
    if len({text(header, "SeriesTime") for header in headers}) > 1:
        notes.append("SeriesTime differs between slices: the earliest was used")
    last = max(found.time for found in acquired)
    # Where the date stays that of the beginning, slices that follow midnight seem to lie a day before the others.
    times = [found.time if last - found.time < _DAY / 2 else found.time + _DAY for found in acquired]
    if max(times) > last:
        notes.append("the dates of slices do not change at midnight, unlike their times: the times were believed")
    first = min(times)
    if series is not None and first - series > _DAY:
        notes.append("the dates of series and acquisition disagree: the series' time of day was used")
        series = _on_day_of(series, first)
    if series is not None and series <= first:
        return Moment(series, dated)
    for told in (_private(headers[0]), _from_frames(headers, half_life)):
        if told is not None:
            begun = _on_day_of(told, first)
            if begun <= first + _AGREES:
                if series is not None and series - begun > _AGREES:
                    notes.append("SeriesTime lies after the acquisition: the start that the frames tell was used")
                return Moment(begun, dated)
    return Moment(first, dated)


def frame_average(header: Dataset, half_life: float) -> Moment:
    """When a frame had the activity that it shows, where nothing was corrected for decay.

    Raises:
        PolyscanError: the header has no acquisition time.
    """
    start = acquisition(header)
    if start is None:
        raise PolyscanError("AcquisitionTime (0008,0032) is missing, and DecayCorrection is NONE; add it.")
    later = average_time(_duration(header), half_life)
    return Moment(start.time + timedelta(seconds=later), start.dated)


def elapsed(tracer: Dataset, headers: Sequence[Dataset], moment: Moment, half_life: float, notes: list[str]) -> float:
    """Seconds from injection to a moment, negative where the scan ran already.

    Where the dates cannot be meant, as after de-identification has shifted one of them, the times of day are used, and
    said, for nuclides that are gone after a day.

    Raises:
        PolyscanError: no injection time, or one that cannot belong to the scan.
    """
    injected, by_date = _injection(tracer, headers[0], moment.time, notes)
    between = moment.time - injected
    longest = max(timedelta(seconds=10 * half_life), timedelta(minutes=30))
    if half_life <= _SAME_CLOCK:
        longest = min(longest, _DAY / 2)
    if by_date and moment.dated and -_EARLY <= between <= max(longest, _DAY):
        seconds = between
    elif half_life > _SAME_CLOCK:
        raise PolyscanError(
            f"The dates of injection and scan {'disagree' if by_date else 'are not both known'}, and with a half-life "
            f"of {half_life / 3600:.1f} h days matter; set RadiopharmaceuticalStartDateTime (0018,1078)."
        )
    else:
        if by_date and moment.dated:
            notes.append("the dates of injection and scan disagree: the times of day were used")
        seconds = between % _DAY
        if seconds >= _DAY - _EARLY:
            seconds -= _DAY
    if seconds < timedelta(0):
        if max(map(_end, headers)) <= moment.time - seconds:
            raise PolyscanError(
                f"The scan ends before the injection, which lies {-seconds.total_seconds() / 60:.0f} min after its "
                "start; correct the start time of one of them."
            )
        notes.append(f"the scan began {-seconds.total_seconds():.0f} s before the injection")
    if seconds > longest:
        raise PolyscanError(
            f"The scan lies {seconds.total_seconds() / 3600:.1f} h after the injection, which is more than a half-life "
            f"of {half_life:g} s allows; correct the start time."
        )
    if not seconds and half_life > _SOON:
        notes.append("injection and scan have one time: check that it was not written in place of both")
    notes += doubtful_time(seconds.total_seconds(), half_life)
    return seconds.total_seconds()


def doubtful_time(since: float, half_life: float) -> list[str]:
    """That so many seconds lie between the injection and what values are corrected to that hardly anything is left."""
    if since <= _MANY * half_life:
        return []
    return [f"the scan lies {since / 3600:.1f} h after the injection, {_MANY:g} half-lives and more: check the times"]


def acquisition(header: Dataset) -> Moment | None:
    """When the frame of a slice began."""
    found = _moment(header, "Acquisition")
    if found is None:
        stamp = text(header, "AcquisitionDateTime")
        return Moment(_stamp(stamp, header), True) if len(stamp) > 8 else None
    series = _moment(header, "Series")
    # Without a date of its own an acquisition past midnight seems to lie hours before its series.
    if series and not text(header, "AcquisitionDate") and series.time - found.time > _DAY / 2:
        return Moment(found.time + _DAY, found.dated)
    return found


def _end(header: Dataset) -> datetime:
    """When the frame of a slice ended, at the latest."""
    start = acquisition(header) or _moment(header, "Series")
    if start is None:
        return datetime.min
    return start.time + (timedelta(seconds=_duration(header)) or _FRAME)


def _duration(header: Dataset) -> float:
    """Seconds that a frame took; 0 where that is not told."""
    told = number(header, "ActualFrameDuration") or number(header, "FrameAcquisitionDuration") or 0.0
    return max(told, 0.0) / 1000


def _injection(tracer: Dataset, header: Dataset, scan: datetime, notes: list[str]) -> tuple[datetime, bool]:
    """The injection in the scanner's clock, and whether its day is known."""
    stamp, time = (text(tracer, f"RadiopharmaceuticalStart{kind}") for kind in ("DateTime", "Time"))
    foreign = bool(_ZONE.search(stamp)) and _local_zone(header) is None
    if foreign and not time:
        notes.append("the injection names a time zone and the scan none: taken as the same")
    if len(stamp) > 8 and not (foreign and time):
        injected = _stamp(stamp, header)
        if time and _ZONE.search(stamp) is None:
            apart = abs(injected - _on_day_of(_parse(f"{injected:%Y%m%d}", time), injected))
            if min(apart, _DAY - apart) > _AGREES:
                is_meant = abs(scan - injected) < _LONG_AGO  # else it was blanked, as by 19000101000000
                which = "first" if is_meant else "second"
                notes.append(
                    f"RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime disagree: the {which} was used"
                )
                if not is_meant:
                    return _parse(f"{scan:%Y%m%d}", time), False
        return injected, True
    if time:
        return _parse(f"{scan:%Y%m%d}", time), False
    raise PolyscanError(
        "RadiopharmaceuticalStartDateTime (0018,1078) and RadiopharmaceuticalStartTime (0018,1072) are missing; "
        "add the injection time."
    )


def _private(header: Dataset) -> datetime | None:
    """The start of the scan as the vendor writes it into private elements."""
    for creator, block, element in _PRIVATE:
        try:
            found = header.private_block(block, creator)[element].value
            return _stamp((found.decode("ascii", "ignore") if isinstance(found, bytes) else str(found)).strip(), header)
        except (KeyError, PolyscanError):
            continue
    return None


def _from_frames(headers: Sequence[Dataset], half_life: float) -> datetime | None:
    """The scan's start reckoned back from its frames; None where they do not tell one."""
    starts = []
    for header in headers:
        offset, duration = number(header, "FrameReferenceTime") or 0.0, _duration(header)
        begun = acquisition(header)
        if begun is None or offset <= 0 or duration == 0:
            return None
        starts.append(begun.time + timedelta(seconds=average_time(duration, half_life) - offset / 1000))
    return min(starts) if starts and max(starts) - min(starts) <= _AGREES else None


def _on_day_of(moment: datetime, other: datetime) -> datetime:
    """A moment moved by whole days until it lies within half a day of another."""
    return moment - round((moment - other) / _DAY) * _DAY if abs(moment - other) > _DAY else moment


def _moment(header: Dataset, name: str) -> Moment | None:
    time = text(header, f"{name}Time")
    dates = (text(header, f"{each}Date") for each in (name, "Series", "Acquisition", "Study"))
    date = next((date for date in dates if date), "")
    return Moment(_parse(date or "19000101", time), bool(date)) if time else None


def _stamp(stamp: str, header: Dataset) -> datetime:
    """A DT in the clock that the header's other times are in."""
    zone, local = _zone(stamp), _local_zone(header)
    moment = _parse(stamp[:8], _ZONE.sub("", stamp)[8:])
    if zone is None or local is None:
        return moment
    return moment.replace(tzinfo=timezone(zone)).astimezone(timezone(local)).replace(tzinfo=None)


def _local_zone(header: Dataset) -> timedelta | None:
    """That of the scanner: TimezoneOffsetFromUTC, else what its own date times end with; None where neither is told."""
    told = (_zone(text(header, name)) for name in _TELLS_ZONE)
    return next((zone for zone in told if zone is not None), None)


def _zone(stamp: str) -> timedelta | None:
    found = _ZONE.search(stamp)
    if found is None or int(found[2]) > 14 or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return -offset if found[1] == "-" else offset


def _parse(date: str, time: str) -> datetime:
    try:
        whole, _, fraction = time.strip().replace(":", "").partition(".")
        seconds = timedelta(seconds=float(f"0.{fraction or 0}"))
        return datetime.strptime(date.replace(".", "") + whole.ljust(6, "0"), "%Y%m%d%H%M%S") + seconds
    except ValueError:
        raise PolyscanError("A date or time of the PET series is not written as DICOM asks; correct it.") from None
