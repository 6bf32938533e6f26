import Foundation
import Glibc
import Testing

@Suite("Files of a mount pool", .serialized)
struct PoolTests {
    private static let script = Repository.root + "/bench/testbeds/links.sh"

    private static let obstacle: String? = {
        if geteuid() != 0 { return "mounting needs root" }
        if access("/dev/fuse", R_OK | W_OK) != 0 { return "no /dev/fuse here" }
        return nil
    }()

    /// Runs a body with the mounts of one folder over four links.
    private func withLinks(_ body: ([String]) throws -> Void) throws {
        if let obstacle = Self.obstacle {
            print("SKIP pools of the library: \(obstacle)")
            return
        }
        let folder = "/tmp/iotrap-library-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let up = try ProcessRun.run(
            "/bin/bash", [Self.script, "up", folder + "/m", "--links", "4"])
        try #require(up.succeeded, "\(up.output)")
        defer { _ = try? ProcessRun.run("/bin/bash", [Self.script, "down", folder + "/m"]) }
        try body((0..<4).map { "\(folder)/m/\($0)" })
    }

    @Test("They are served by its paths, with the results of one", arguments: ["ring", "plain"])
    func configuredByTheProgram(_ backend: String) throws {
        try withLinks { mounts in
            let result = try ProcessRun.run(
                Repository.programs + "/pools", [mounts[0], backend] + mounts)
            #expect(result.succeeded, "\(result.ending)\n\(result.output)")
        }
    }

    @Test("The environment names the pool")
    func configuredByTheEnvironment() throws {
        try withLinks { mounts in
            let result = try ProcessRun.run(
                Repository.programs + "/pools", [mounts[0], "ring", "environment"] + mounts,
                environment: ["IOTRAP_MOUNT_POOLS": "pool:" + mounts.joined(separator: ",")])
            #expect(result.succeeded, "\(result.ending)\n\(result.output)")
        }
    }
}
