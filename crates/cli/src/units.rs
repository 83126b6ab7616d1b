//! Sizes, times and counts: read from the command line, written for people.

use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Reads a size in bytes: `4096`, `64K`, `64KiB`, `1M`, `1MiB`, `2G`, `2GiB` (powers of 1024).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        _ => return Err(format!("'{text}' is not a size: write bytes, or a number with KiB, MiB or GiB")),
    };
    let count: u64 =
        number.parse().map_err(|_| format!("'{text}' is not a size: write bytes, or a number with KiB, MiB or GiB"))?;
    count.checked_mul(factor).ok_or_else(|| format!("'{text}' is more bytes than a 64-bit number holds"))
}

/// A whole number in groups of three digits, which a person counts at a glance.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Reads a count: a whole number.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("'{text}' is not a count: write a whole number, 0 or more"))
}

/// Reads how many there are to be of what cannot be none: a whole number from 1 on.
pub(crate) fn parse_some(text: &str) -> Result<u64, String> {
    let number = text.trim().parse().ok().filter(|count| *count > 0);
    number.ok_or_else(|| format!("'{text}' cannot be used: write a whole number, 1 or more"))
}

/// Reads a rate: so many a second, more than none.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("'{text}' is not a rate: write how many a second, such as 30 or 0.5");
    let rate: f64 = text.trim().parse().map_err(|_| wrong())?;
    // Between one in eleven days and one each nanosecond.
    if (1e-6..=1e9).contains(&rate) { Ok(rate) } else { Err(wrong()) }
}

/// Reads a time: `250ms`, `5s`, `5` (seconds), `2m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a time: write seconds, or a number with ms, s or m");
    let (number, unit) = split_number(text);
    let count: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" | "s" => count,
        "ms" => count / 1e3,
        "m" => count * 60.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn split_number(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// `64 B`, `4 KiB`, `1 MiB`, `1.5 GiB`: exact where the unit divides the size, else one decimal.
pub(crate) fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..KIB => return format!("{bytes} B"),
        KIB..MIB => (KIB, "KiB"),
        MIB..GIB => (MIB, "MiB"),
        GIB.. => (GIB, "GiB"),
    };
    if bytes.is_multiple_of(unit) {
        format!("{} {name}", bytes / unit)
    } else {
        format!("{:.1} {name}", bytes as f64 / unit as f64)
    }
}

/// `62 ns`, `1.40 µs`, `26.3 µs`, `1.20 ms`, with three digits.
pub(crate) fn nanos(ns: f64) -> String {
    match ns {
        0.0 => "0 s".to_owned(),
        ns if ns < 999.5 => format!("{} ns", three_digits(ns)),
        ns if ns < 999_500.0 => format!("{} µs", three_digits(ns / 1e3)),
        ns if ns < 999_500_000.0 => format!("{} ms", three_digits(ns / 1e6)),
        ns => format!("{} s", three_digits(ns / 1e9)),
    }
}

/// `950`, `12.3 k`, `42.0 M`: a count per second with three digits.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        n if n < 999.5 => three_digits(n),
        n if n < 999_500.0 => format!("{} k", three_digits(n / 1e3)),
        n if n < 999_500_000.0 => format!("{} M", three_digits(n / 1e6)),
        n => format!("{} G", three_digits(n / 1e9)),
    }
}

/// Three significant digits: `1.23`, `12.3`, `123`.
pub(crate) fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_numbers_are_grouped_and_what_cannot_be_none_is_some() {
        let all = [0, 7, 999, 1_000, 12_345, 2_000_000].map(grouped);
        assert_eq!(all, ["0", "7", "999", "1,000", "12,345", "2,000,000"]);
        assert_eq!(parse_some("1"), Ok(1));
        for wrong in ["0", "-1", "", "some"] {
            assert!(parse_some(wrong).is_err_and(|why| why.contains("1 or more")), "{wrong} was taken");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_units() {
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("1m"), Ok(MIB));
        assert_eq!(parse_size("2GiB"), Ok(2 * GIB));
        for wrong in ["", "x", "1.5K", "-1", "12 parsecs", "99999999999G"] {
            assert!(parse_size(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn counts_are_read() {
        assert_eq!(parse_count("0"), Ok(0));
        assert_eq!(parse_count("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["", "-1", "1.5", "many", "18446744073709551616"] {
            assert!(parse_count(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(parse_rate("30"), Ok(30.0));
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for wrong in ["", "0", "-1", "fast", "NaN", "inf", "1e300"] {
            assert!(parse_rate(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn times_are_read_with_and_without_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "soon", "-1", "1h", "1e400"] {
            assert!(parse_duration(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn sizes_are_written_exactly_or_with_one_decimal() {
        assert_eq!(size(64), "64 B");
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(MIB), "1 MiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(size(3 * GIB), "3 GiB");
    }

    #[test]
    fn times_and_rates_have_three_digits() {
        assert_eq!(nanos(61.44), "61.4 ns");
        assert_eq!(nanos(999.7), "1.00 µs");
        assert_eq!(nanos(1_404.0), "1.40 µs");
        assert_eq!(nanos(26_310.0), "26.3 µs");
        assert_eq!(nanos(1_200_000.0), "1.20 ms");
        assert_eq!(rate(42_000_000.0), "42.0 M");
        assert_eq!(rate(12_345.0), "12.3 k");
        assert_eq!(rate(7.0), "7.00");
    }
}
