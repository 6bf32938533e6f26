/// Numbers as people read them: three significant digits and a unit.
public enum Units {
    /// A count: exact up to 9999, then in steps of a thousand ("12.3 k", "4.56 M").
    public static func count(_ value: UInt64) -> String {
        if value < 10_000 { return String(value) }
        return scaled(Double(value), by: 1000, units: ["", "k", "M", "G", "T", "P", "E"])
    }

    /// Bytes in steps of 1024 ("512 B", "4.00 KiB").
    public static func bytes(_ value: UInt64) -> String {
        if value < 1024 { return "\(value) B" }
        return scaled(
            Double(value), by: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
    }

    /// Bytes as megabytes of a million, without the unit ("0.05", "9.52", "104", "12.3 k").
    static func megabytes(_ value: UInt64) -> String {
        let megabytes = Double(value) / 1e6
        if megabytes >= 999.5 { return count(UInt64(megabytes.rounded())) }
        return decimal(megabytes, places: megabytes < 9.995 ? 2 : megabytes < 99.95 ? 1 : 0)
    }

    /// A latency in nanoseconds, from "ns" up to "s".
    public static func latency(_ nanoseconds: UInt64) -> String {
        if nanoseconds < 1000 { return "\(nanoseconds) ns" }
        return scaled(Double(nanoseconds), by: 1000, units: ["ns", "us", "ms", "s"])
    }

    /// A span of time in its two largest units ("2 h 3 min", "1.50 s").
    public static func span(_ nanoseconds: UInt64) -> String {
        let seconds = nanoseconds / 1_000_000_000
        if seconds < 60 { return latency(nanoseconds) }
        if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds < 86_400 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
        return "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h"
    }

    /// A part of a whole in percent with one decimal; "-" of nothing. Rounded down below the
    /// whole and up above nothing, so that "100.0 %" means all and "0.0 %" means none.
    public static func share(_ part: UInt64, of whole: UInt64) -> String {
        if whole == 0 { return "-" }
        var perMille = (Double(part) / Double(whole) * 1000).rounded()
        if part > 0 { perMille = max(perMille, 1) }
        if part < whole { perMille = min(perMille, 999) }
        return decimal(perMille / 10, places: 1) + " %"
    }

    /// A ratio with one decimal below 100, without above.
    public static func ratio(_ value: Double) -> String {
        decimal(value, places: value < 100 ? 1 : 0)
    }

    /// A number with a fixed count of decimals, rounded; at most three of them.
    package static func decimal(_ value: Double, places: Int) -> String {
        let factor = [1.0, 10.0, 100.0, 1000.0][places]
        let scaled = UInt64(min(max(0, value * factor).rounded(), 1e18))
        if places == 0 { return String(scaled) }
        let fraction = String(scaled % UInt64(factor))
        let zeros = String(repeating: "0", count: places - fraction.utf8.count)
        return "\(scaled / UInt64(factor)).\(zeros)\(fraction)"
    }

    private static func scaled(_ value: Double, by step: Double, units: [String]) -> String {
        var value = value
        var index = 0
        // 999.5 would be printed as 1000.
        while value >= (index == 0 ? step : min(step, 999.5)) && index < units.count - 1 {
            value /= step
            index += 1
        }
        let places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
        let number = decimal(value, places: index == 0 ? 0 : places)
        return units[index].isEmpty ? number : "\(number) \(units[index])"
    }
}
