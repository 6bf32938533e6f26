import Foundation
import Glibc
import IOTrap
import Testing

/// Several mounts of one folder, as bench/testbeds/links.sh makes them, for a pool.
struct Links: Codable, Sendable {
    let folder: String
    let count: Int

    private static let script =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path + "/bench/testbeds/links.sh"

    private static let obstacle: String? = {
        if geteuid() != 0 { return "mounting needs root" }
        if access("/dev/fuse", R_OK | W_OK) != 0 { return "no /dev/fuse here" }
        if access("/usr/bin/cc", X_OK) != 0 { return "no C compiler at /usr/bin/cc" }
        return nil
    }()

    /// Brings links up for a test, or says why it is skipped.
    static nonisolated(nonsending) func with(
        count: Int = 3, test: String = #function,
        _ body: nonisolated(nonsending) (Links) async throws -> Void
    ) async throws {
        if let obstacle {
            print("SKIP \(test): \(obstacle)")
            return
        }
        var template = Array("/tmp/iotrap-swift-links-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let folder = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let links = Links(folder: folder, count: count)
        try links.run("up", "--links", "\(count)")
        defer { links.down() }
        try await body(links)
        expectNoReport(links.report)
    }

    private func down() {
        do {
            try run("down")
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            Issue.record("\(folder) stays behind: \(error)")
        }
    }

    /// Runs an action of the script; what it printed.
    @discardableResult
    private func run(_ action: String, _ words: String...) throws -> String {
        let output = "\(folder)/output-\(UUID().uuidString)"
        defer { unlink(output) }
        let command = ["/bin/bash", Links.script, action, folder + "/m"]
        let status = try Links.run(command + words, output)
        let text = try String(contentsOfFile: output, encoding: .utf8)
        try #require(status == 0, "\(action): \(text)")
        return text
    }

    /// Runs a program that inherits neither descriptors, which the servers of the links would keep,
    /// nor the signal mask of a test's thread.
    private static func run(_ words: [String], _ output: String) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Closing what is not open is no error here.
        for descriptor in Int32(3)..<1024 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let arguments = words.map { strdup($0) } + [nil]
        let variables = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, &attributes, arguments, variables)
        try #require(code == 0, "\(words[0]): \(String(cString: strerror(code)))")
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 { try #require(errno == EINTR) }
        return status
    }

    /// Takes the links for a pool of this process.
    func makePool() throws(IOError) {
        try IOPools.set("links:" + (0..<count).map { "\(folder)/m/\($0)" }.joined(separator: ","))
    }

    /// What went wrong in a process that uses the links.
    var report: String { folder + "/report" }

    func path(_ link: Int, _ name: String) -> String { "\(folder)/m/\(link)/\(name)" }

    /// What the folder itself holds, without a link between.
    func content(_ name: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder)/m.links/backing/\(name)")))
    }

    func kill(_ link: Int) throws { try run("kill", "\(link)") }

    /// A counter of each link's server: reads, writes, syncs.
    func counters(_ name: String) throws -> [Int] {
        try (0..<count).map { link in
            let line = try run("show", "\(link)").split(separator: "\n")
                .first { $0.hasPrefix(name + "=") }
            return try #require(line.flatMap { Int($0.dropFirst(name.count + 1)) })
        }
    }

    /// Repeats something, which returns the number of wrong bytes, until every link has carried
    /// some of it: the other paths are opened and proven meanwhile.
    nonisolated(nonsending) func spread(
        _ counter: String, at location: SourceLocation = #_sourceLocation,
        _ body: nonisolated(nonsending) () async throws -> Int
    ) async throws {
        var wrong = 0
        let before = try counters(counter)
        let isSpread = try await eventually {
            wrong += try await body()
            return try zip(counters(counter), before).allSatisfy { $0 > $1 }
        }
        let after = try counters(counter)
        #expect(wrong == 0, sourceLocation: location)
        #expect(isSpread, "\(counter): \(before), then \(after)", sourceLocation: location)
    }
}
