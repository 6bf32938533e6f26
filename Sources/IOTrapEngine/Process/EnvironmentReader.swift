import CIOTrap
import CIOTrapEngine

/// Reads the `IOTRAP_*` variables. A wrong one means pass-through and a line in the log.
enum EnvironmentReader {
    typealias Environment = UnsafePointer<UnsafeMutablePointer<CChar>?>

    /// - Returns: false when a setting is wrong: the library must then do nothing.
    static func read(_ environment: Environment?) -> Bool {
        let state = process
        if let path = value("IOTRAP_LOG", environment) {
            _ = state.pointee.logPath.assign(path)
        }
        chooseDirectory(environment)
        if let text = value("IOTRAP_STATS", environment) {
            let bytes = buffer(text)
            if equals(bytes, "keep") {
                state.pointee.statsKept = true
            } else if equals(bytes, "off") {
                state.pointee.statsWanted = false
            } else {
                Log.line("off: IOTRAP_STATS is ", quoting: bytes, "; valid: keep, off")
                return false
            }
        }
        return readMode(environment) && readSettings(environment)
    }

    private static func readMode(_ environment: Environment?) -> Bool {
        guard let text = value("IOTRAP_MODE", environment) else { return true }
        let bytes = buffer(text)
        if bytes.isEmpty { return true }
        do throws(ConfigurationError) {
            try ConfigurationParser(bytes).parseMode(into: &process.pointee.configuration)
            return true
        } catch {
            Log.line(
                "off: unknown IOTRAP_MODE ", quoting: bytes,
                "; valid modes: off, observe, auto, force")
            return false
        }
    }

    private static func readSettings(_ environment: Environment?) -> Bool {
        guard let text = value("IOTRAP_SET", environment) else { return true }
        let bytes = buffer(text)
        do throws(ConfigurationError) {
            try ConfigurationParser(bytes).parseSettings(into: &process.pointee.configuration)
            return true
        } catch {
            let item = UnsafeBufferPointer(
                rebasing: bytes[error.start..<(error.start + error.count)])
            Log.line("off: IOTRAP_SET has ", quoting: item, "; ", error.remedy)
            return false
        }
    }

    private static func chooseDirectory(_ environment: Environment?) {
        let state = process
        if let path = value("IOTRAP_STATS_DIR", environment), path[0] != 0 {
            _ = state.pointee.statsDirectory.assign(path)
            return
        }
        var path = PathBuffer()
        _ = path.append("/dev/shm/iotrap-")
        _ = path.append(decimal: UInt64(iotrap_effective_user()))
        state.pointee.statsDirectory = path
    }

    /// The value of a variable; nil when it is not set.
    private static func value(
        _ name: StaticString, _ environment: Environment?
    ) -> UnsafePointer<CChar>? {
        guard let environment else { return nil }
        let count = name.utf8CodeUnitCount
        var index = 0
        while let entry = environment[index] {
            index += 1
            var matched = 0
            while matched < count, UInt8(bitPattern: entry[matched]) == name.utf8Start[matched] {
                matched += 1
            }
            if matched == count, entry[count] == CChar(UInt8(ascii: "=")) {
                return UnsafePointer(entry + count + 1)
            }
        }
        return nil
    }

    private static func buffer(_ text: UnsafePointer<CChar>) -> UnsafeBufferPointer<UInt8> {
        var count = 0
        while text[count] != 0 { count += 1 }
        return UnsafeBufferPointer(
            start: UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self), count: count)
    }

    private static func equals(_ bytes: UnsafeBufferPointer<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
        return true
    }
}
