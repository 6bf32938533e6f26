import Foundation
import Glibc
import IOTrapStats
import Testing

/// Several mounts of one folder, as bench/testbeds/links.sh makes them, and programs that use them
/// as a mount pool. Nothing of it is left when `with` returns.
final class Links {
    /// A folder of its own: the links in `m`, statistics, logs.
    let scratch: String
    let count: Int
    private var conversations: [Conversation] = []

    /// Brings links up for a test, or says why it is skipped.
    static func with(
        _ options: String = "", count: Int = 4, test: String = #function,
        _ body: (Links) throws -> Void
    ) throws {
        if let obstacle = Places.obstacle {
            print("SKIP \(test): \(obstacle)")
            return
        }
        let links = try Links(options, count)
        defer { links.down() }
        try body(links)
    }

    private init(_ options: String, _ count: Int) throws {
        self.count = count
        var template = Array("/tmp/iotrap-pools-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        scratch = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        mkdir(scratch + "/statistics", 0o700)
        try script("up", "--links \(count) \(options)")
    }

    private func down() {
        for conversation in conversations { conversation.kill() }
        do {
            try script("down", "")
            try FileManager.default.removeItem(atPath: scratch)
        } catch {
            Issue.record("\(scratch) stays behind: \(error)")
        }
    }

    /// Runs an action of links.sh; what it printed.
    @discardableResult
    private func script(_ action: String, _ words: String) throws -> String {
        try shell("bash '\(Places.links)' \(action) '\(scratch)/m' \(words)")
    }

    /// Runs a command of the shell that has to succeed; what it printed.
    @discardableResult
    func shell(_ command: String) throws -> String {
        let output = scratch + "/shell-" + UUID().uuidString
        defer { unlink(output) }
        let program = try Conversation(
            ["/bin/bash", "-c", "exec >'\(output)' 2>&1; " + command],
            environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], errorsPath: "/dev/null")
        let ending = program.finish()
        let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
        try #require(ending == "exit 0", "\(command): \(ending)\n\(text)")
        return text
    }

    // MARK: - The links

    func path(_ link: Int, _ name: String = "file") -> String { "\(scratch)/m/\(link)/\(name)" }

    /// A file of the folder itself, without a link between.
    func backing(_ name: String = "file") -> String { "\(scratch)/m.links/backing/\(name)" }

    func set(_ link: Int, _ settings: String) throws { try script("set", "\(link) \(settings)") }
    func setAll(_ settings: String) throws { try script("set", "all \(settings)") }
    func kill(_ link: Int) throws { try script("kill", "\(link)") }
    func killAll() throws { try script("kill", "all") }
    func restart(_ link: Int) throws { try script("restart", "\(link)") }

    /// A counter of a link's server: reads, writes, read-bytes, write-bytes, syncs, ...
    func counter(_ link: Int, _ name: String) throws -> Int {
        let line = try script("show", "\(link)").split(separator: "\n")
            .first { $0.hasPrefix(name + "=") }
        return try #require(line.flatMap { Int($0.dropFirst(name.count + 1)) })
    }

    /// Bytes that a link with volatile=on holds in memory.
    func unsynced(_ link: Int) throws -> Int { try counter(link, "volatile-bytes") }

    /// Expects the folder itself to hold what a write left from the beginning of a file on.
    func expectBacking(
        _ name: String = "file", sequence: Int, bytes: Int = 4 << 20,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let driver = try bareDriver()
        let file = try driver.open(backing(name), "read", at: location)
        try driver.expect("read \(file) 0 \(bytes) \(sequence)", "ok", at: location)
        #expect(driver.conversation.finish() == "exit 0")
    }

    // MARK: - Programs

    /// The variables of a program for which the links are a pool.
    func environment(pool options: String = "", paths: [String]? = nil) -> [String: String] {
        let roots = paths ?? (0..<count).map { "\(scratch)/m/\($0)" }
        let list = (roots + (options.isEmpty ? [] : [options])).joined(separator: ",")
        return [
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_PRELOAD": Places.preload,
            "IOTRAP_MOUNT_POOLS": "links:" + list, "IOTRAP_LOG": scratch + "/log",
            "IOTRAP_STATS_DIR": scratch + "/statistics",
        ]
    }

    /// What the library had to say about problems.
    var log: String { (try? String(contentsOfFile: scratch + "/log", encoding: .utf8)) ?? "" }

    func start(_ words: [String], environment: [String: String]) throws -> Conversation {
        let conversation = try Conversation(
            words, environment: environment, errorsPath: scratch + "/errors")
        conversations.append(conversation)
        return conversation
    }

    /// A driver under the library, with all links as a pool.
    func driver(pool options: String = "", mode: String = "auto") throws -> Driver {
        var variables = environment(pool: options)
        variables["IOTRAP_MODE"] = mode
        return try driver(variables)
    }

    func driver(_ environment: [String: String]) throws -> Driver {
        Driver(try start([Places.program("driver")], environment: environment), self)
    }

    /// A driver that knows nothing of pools.
    func bareDriver() throws -> Driver { try driver(["PATH": "/usr/bin:/bin"]) }

    /// What the library counts of the paths of a running program.
    func statistics(of conversation: Conversation) throws -> [PathTotals] {
        let search = SegmentSearch(directory: scratch + "/statistics")
        let found = try search.segment(of: conversation.processID)
        return try #require(found, "no statistics").snapshot.paths
    }
}

/// Waits until something holds that other processes bring about. The bound only keeps a broken test
/// from waiting for ever.
func eventually(_ condition: () throws -> Bool) throws -> Bool {
    for _ in 0..<3000 {
        if try condition() { return true }
        usleep(20_000)
    }
    return false
}
