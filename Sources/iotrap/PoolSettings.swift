import CIOTrapEngine
import Glibc
import IOTrapEngine

/// The configuration file and the mount pools of one start: from the environment and the command
/// line, read by the parser of the library itself, so that both refuse the same things.
final class PoolSettings {
    private let table: UnsafeMutablePointer<iotrap_pool_table>

    init() {
        table = .allocate(capacity: 1)
        table.initialize(to: iotrap_pool_table())
    }

    deinit { table.deallocate() }

    /// What was read.
    var pools: [Pool] { Pool.all(in: table) }

    /// Reads the configuration file, whose settings the environment and options override later,
    /// and names it in the environment by its absolute path: a program may start another one from
    /// anywhere.
    ///
    /// - Parameter option: `--config`, if given.
    func readFile(
        _ option: ByteString?, _ environment: inout Environment,
        into configuration: inout Configuration
    ) throws(CommandFailure) {
        if let option, option.isEmpty { throw .usage("--config has no file; write --config FILE") }
        guard var path = option ?? environment["IOTRAP_CONFIG"], !path.isEmpty else { return }
        if path.bytes.first != UInt8(ascii: "/"), let current = getcwd(nil, 0) {
            path = ByteString(cString: current) + "/" + path
            free(current)
        }
        environment.set("IOTRAP_CONFIG", path)
        let content = path.withCString { path -> Result<[UInt8], PoolError> in
            do throws(PoolError) {
                let file = try ConfigurationFile(path)
                return .success(file.withBytes { Array($0) })
            } catch {
                return .failure(error)
            }
        }
        switch content {
        case .failure(let error):
            let source = option == nil ? "IOTRAP_CONFIG" : "--config"
            throw Self.failure(error, path, source: source)
        case .success(let bytes):
            var changed = configuration
            try read(bytes, source: { _ in path.text }) { parser, bytes throws(PoolError) in
                try parser.parseFile(bytes, configuration: &changed)
            }
            configuration = changed
        }
    }

    /// Reads `IOTRAP_MOUNT_POOLS` and the options that are added to it, and `IOTRAP_FIJI`.
    ///
    /// - Parameter options: `--pool`, in the order given.
    func readLists(
        _ options: [ByteString], _ environment: inout Environment
    ) throws(CommandFailure) {
        let name = "IOTRAP_MOUNT_POOLS"
        let variable = environment[name] ?? ByteString("")
        for option in options where option.bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) {
            throw .usage("--pool has no pool; write --pool NAME:/PATH,/PATH")
        }
        // One text, as the library will read it: what is written twice is found.
        let parts = [variable] + options
        let text = ByteString(Array(parts.map(\.bytes).joined(separator: [0x20])))
        let end = variable.bytes.count
        try read(text.bytes, source: { $0 < end ? name : "--pool" }) {
            parser, bytes throws(PoolError) in
            try parser.parseList(bytes)
        }
        if !options.isEmpty { environment.set(name, text) }
        let isFiji = environment["IOTRAP_FIJI"]?.bytes.withUnsafeBufferPointer {
            PoolParser.isYes($0)
        }
        if isFiji == true { PoolParser(table).keepBulkOffPrimary() }
    }

    /// Parses a text.
    ///
    /// - Parameter source: where the byte at an offset came from, for messages.
    private func read(
        _ bytes: [UInt8], source: (Int) -> String,
        _ body: (PoolParser, UnsafeBufferPointer<UInt8>) throws(PoolError) -> Void
    ) throws(CommandFailure) {
        let refusal = bytes.withUnsafeBufferPointer { bytes -> PoolError? in
            do throws(PoolError) {
                try body(PoolParser(table), bytes)
                return nil
            } catch {
                return error
            }
        }
        guard let refusal else { return }
        let line = refusal.line > 0 ? ", line \(refusal.line)" : ""
        let item = ByteString(bytes[refusal.start..<(refusal.start + refusal.count)])
        throw Self.failure(refusal, item, source: source(refusal.start) + line)
    }

    private static func failure(
        _ error: PoolError, _ item: ByteString, source: String
    ) -> CommandFailure {
        // A list of all pools can be longer than anybody wants to read.
        let isLong = item.bytes.count > 200
        let quoted = isLong ? ByteString(item.bytes.prefix(200)) + "..." : item
        return .usage("\(source): '\(quoted.text)' \(error.reason); \(error.remedy)")
    }
}
