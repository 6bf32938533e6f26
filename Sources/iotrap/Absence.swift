import Glibc
import IOTrapStats

/// Why a process has no statistics.
enum Absence {
    /// The reason and the remedy, as far as /proc tells.
    static func explanation(for processID: Int32, searched: [String]) -> String {
        let places = searched.joined(separator: ", ")
        if kill(processID, 0) != 0 && errno == ESRCH {
            return "there is no such process, and it left nothing in \(places); statistics of "
                + "ended processes stay with IOTRAP_STATS=keep"
        }
        guard let maps = smallFile("/proc/\(processID)/maps", limit: 16 << 20),
            let variables = smallFile("/proc/\(processID)/environ", limit: 16 << 20)
        else {
            return "it belongs to another user; run iotrap stat as that user or as root"
        }
        if !contains(maps, Library.preloadName) {
            return "the library is not loaded in it; start it with iotrap run"
        }
        // As it was at the start, which is when the library reads it.
        let start = variables.split(separator: 0).map { ByteString($0).text }
        if start.contains("IOTRAP_MODE=off") {
            return "it runs with IOTRAP_MODE=off, which counts nothing; use observe or auto"
        }
        if start.contains("IOTRAP_STATS=off") {
            return "it runs with IOTRAP_STATS=off; start it without that"
        }
        if let entry = start.first(where: { $0.hasPrefix("IOTRAP_STATS_DIR=") }) {
            return "its statistics are elsewhere; set \(entry) for iotrap stat too"
        }
        return "it has made no file call yet, or its settings were refused (set IOTRAP_LOG to a "
            + "file to see why)"
    }

    private static func contains(_ bytes: [UInt8], _ text: String) -> Bool {
        let pattern = Array(text.utf8)
        guard bytes.count >= pattern.count else { return false }
        return bytes.indices.dropLast(pattern.count - 1).contains {
            bytes[$0...].starts(with: pattern)
        }
    }
}
