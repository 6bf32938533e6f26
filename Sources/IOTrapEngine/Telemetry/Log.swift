import CIOTrapEngine

/// One line a problem, to the file `IOTRAP_LOG` names; nowhere when it is not set. The host's own
/// streams are never written to.
enum Log {
    /// Writes `iotrap[PID]: text` and, when given, a number or a quoted part of the environment.
    static func line(
        _ text: StaticString, decimal: UInt64? = nil, quoting: UnsafeBufferPointer<UInt8>? = nil,
        _ rest: StaticString = "", _ remedy: StaticString = ""
    ) {
        guard process.pointee.logPath.count > 0 else { return }
        var line = begin(text)
        if let decimal { _ = line.append(decimal: decimal) }
        if let quoting { quote(quoting, in: &line) }
        _ = line.append(rest)
        _ = line.append(remedy)
        end(&line)
    }

    /// Writes why a part of the environment, or of a file when it has a line, was refused.
    static func refusal(
        _ text: StaticString, line number: Int, quoting: UnsafeBufferPointer<UInt8>,
        _ reason: StaticString, _ remedy: StaticString
    ) {
        guard process.pointee.logPath.count > 0 else { return }
        var line = begin(text)
        if number > 0 {
            _ = line.append(" line ")
            _ = line.append(decimal: UInt64(number))
        }
        _ = line.append(": ")
        quote(quoting, in: &line)
        _ = line.append(" ")
        _ = line.append(reason)
        _ = line.append("; ")
        _ = line.append(remedy)
        end(&line)
    }

    private static func begin(_ text: StaticString) -> PathBuffer {
        var line = PathBuffer()
        _ = line.append("iotrap[")
        _ = line.append(decimal: UInt64(iotrap_process_id()))
        _ = line.append("]: ")
        _ = line.append(text)
        return line
    }

    private static func quote(_ bytes: UnsafeBufferPointer<UInt8>, in line: inout PathBuffer) {
        _ = line.append(UInt8(ascii: "'"))
        for byte in bytes.prefix(64) {
            _ = line.append(byte >= 32 && byte < 127 ? byte : UInt8(ascii: "?"))
        }
        _ = line.append(UInt8(ascii: "'"))
    }

    private static func end(_ line: inout PathBuffer) {
        // A line that does not fit is cut, and still ends as a line.
        if !line.append("\n") { line.cutLine() }
        let count = line.count
        _ = process.pointee.logPath.withAddress { path in
            line.withAddress { bytes in
                iotrap_append_line(
                    UnsafePointer(bitPattern: path)!, UnsafePointer(bitPattern: bytes)!, count)
                return 0
            }
        }
    }
}
