import Foundation
import Testing

/// Runs programs on XFS: a fresh image, mounted in a mount name space that ends with the program.
enum XFSBed {
    /// Why it cannot be used here, if so.
    static let obstacle: String? = {
        guard geteuid() == 0 else { return "mounting XFS needs root" }
        guard FileManager.default.isExecutableFile(atPath: "/usr/sbin/mkfs.xfs") else {
            return "mkfs.xfs (package xfsprogs) is not installed"
        }
        let probe = Program(name: "no-program", wishes: [])
        guard let result = try? run(probe, [:], command: "true") else {
            return "no process could be started"
        }
        return result.succeeded ? nil : "XFS cannot be mounted on a loop device: \(result.errors)"
    }()

    static func observe(
        _ program: Program, _ environment: [String: String]
    ) throws -> Observation {
        let result = try run(program, environment, command: "\"$@\"")
        try #require(result.succeeded, "\(program) on XFS: \(result.errors)")
        let parts = result.output.components(separatedBy: "\u{1}")
        try #require(parts.count == 4)
        return Observation(ending: parts[2], output: parts[0], errors: parts[1], tree: parts[3])
    }

    /// The library goes into the program only, not into the tools around it.
    private static func run(
        _ program: Program, _ environment: [String: String], command: String
    ) throws -> ProcessResult {
        let work = try Scratch()
        let script = """
            set -e
            cd "$1"
            shift
            truncate -s 400M image
            mkfs.xfs -q image
            mkdir bed
            mount -o loop image bed
            mkdir bed/scratch
            status=0
            env "$@" >output 2>errors </dev/null || status=$?
            cat output
            printf '\\001'
            cat errors
            printf '\\001exit %s\\001' "$status"
            cd bed/scratch
            \(Scratch.listing)
            """
        let settings = environment.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }
        let words =
            command == "true" ? ["true"] : settings + [program.path, work.path + "/bed/scratch"]
        return try ProcessRun.run(
            "/usr/bin/unshare", ["-m", "/bin/sh", "-c", script, "sh", work.path] + words)
    }
}
