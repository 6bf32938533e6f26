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
        let file = readFile(environment)
        guard file != .off, readMode(environment), readSettings(environment) else {
            dropPools()
            return false
        }
        // Pools that were meant are all used, or none.
        if file == .poolsRefused || !readPools(environment) { dropPools() }
        return true
    }

    /// What is left to do with a configuration file that was looked at.
    private enum Outcome {
        case good
        /// Something is wrong with pools: the rest of the library works as without them.
        case poolsRefused
        /// A setting is wrong.
        case off
    }

    /// Begins to record, if that is asked for. What is wrong with it is a line in the log; the rest
    /// of the library works as without.
    static func startRecording(_ environment: Environment?) {
        guard let path = value("IOTRAP_TRACE", environment), path[0] != 0 else { return }
        guard let fault = Recorder.start(path) else { return }
        Log.line("nothing is recorded: IOTRAP_TRACE is ", quoting: buffer(path), fault)
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

    private static func readFile(_ environment: Environment?) -> Outcome {
        guard let path = value("IOTRAP_CONFIG", environment), path[0] != 0 else { return .good }
        do throws(PoolError) {
            let file = try ConfigurationFile(path)
            return file.withBytes { parseFile($0) }
        } catch {
            Log.refusal(
                "pools are not used: IOTRAP_CONFIG", line: 0, quoting: buffer(path),
                error.reason, error.remedy)
            return .poolsRefused
        }
    }

    private static func parseFile(_ bytes: UnsafeBufferPointer<UInt8>) -> Outcome {
        guard let pools = makePools() else { return .poolsRefused }
        do throws(PoolError) {
            let parser = PoolParser(pools)
            try parser.parseFile(bytes, configuration: &process.pointee.configuration)
            return .good
        } catch {
            let isSetting: Bool
            if case .setting = error.fault { isSetting = true } else { isSetting = false }
            Log.refusal(
                isSetting ? "off: IOTRAP_CONFIG" : "pools are not used: IOTRAP_CONFIG",
                line: error.line, quoting: item(of: error, in: bytes), error.reason, error.remedy)
            return isSetting ? .off : .poolsRefused
        }
    }

    /// Reads `IOTRAP_MOUNT_POOLS` and `IOTRAP_FIJI`. False when the pools are refused, or there
    /// are none.
    private static func readPools(_ environment: Environment?) -> Bool {
        if let text = value("IOTRAP_MOUNT_POOLS", environment), text[0] != 0 {
            let bytes = buffer(text)
            guard let pools = makePools() else { return false }
            do throws(PoolError) {
                try PoolParser(pools).parseList(bytes)
            } catch {
                Log.refusal(
                    "pools are not used: IOTRAP_MOUNT_POOLS", line: 0,
                    quoting: item(of: error, in: bytes), error.reason, error.remedy)
                return false
            }
        }
        guard let pools = process.pointee.pools, pools.pointee.pool_count > 0 else { return false }
        if let text = value("IOTRAP_FIJI", environment), PoolParser.isYes(buffer(text)) {
            PoolParser(pools).keepBulkOffPrimary()
        }
        return true
    }

    private static func item(
        of error: PoolError, in bytes: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(rebasing: bytes[error.start..<(error.start + error.count)])
    }

    /// The table of pools, made when there is none.
    private static func makePools() -> UnsafeMutablePointer<iotrap_pool_table>? {
        if let pools = process.pointee.pools { return pools }
        let bytes = MemoryLayout<iotrap_pool_table>.size
        guard let pages = iotrap_pages(bytes, 0) else {
            Log.line("pools are not used: no memory for them")
            return nil
        }
        process.pointee.pools = pages.assumingMemoryBound(to: iotrap_pool_table.self)
        return process.pointee.pools
    }

    private static func dropPools() {
        guard let pools = process.pointee.pools else { return }
        process.pointee.pools = nil
        iotrap_pages_free(pools, MemoryLayout<iotrap_pool_table>.size)
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
