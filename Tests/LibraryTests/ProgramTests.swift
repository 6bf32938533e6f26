import Foundation
import Testing

/// How the queues of a program work, and what else it runs under.
enum Backend: String, CaseIterable, Sendable {
    case ring, unbound, plain
    /// A ring, with the hooks of the preloaded library around it.
    case preloaded

    var argument: String { self == .preloaded ? "ring" : rawValue }

    var environment: [String: String] {
        switch self {
        case .preloaded: ["LD_PRELOAD": Repository.preload, "IOTRAP_MODE": "force"]
        default: [:]
        }
    }
}

@Suite("Programs that link libiotrap.so")
struct ProgramTests {
    /// What the programs of Tests/Library check.
    static let programs = [
        "bad_input", "batches", "callbacks", "cancels", "files", "forks", "links", "registered",
        "small_files", "statistics", "strict", "threads", "transfers", "wakes",
    ]

    @Test(
        "Each part of the interface does what the header says", arguments: programs,
        Backend.allCases)
    func program(_ name: String, _ backend: Backend) throws {
        let scratch = try Scratch()
        let result = try ProcessRun.run(
            Repository.programs + "/" + name, [scratch.path, backend.argument],
            environment: backend.environment)
        if result.ending == "exit 77" {
            print("SKIP \(name) \(backend): \(result.output)")
            return
        }
        #expect(result.succeeded, "\(name) \(backend): \(result.ending)\n\(result.output)")
    }

    @Test("No program is left out")
    func allPrograms() throws {
        let sources = try FileManager.default.contentsOfDirectory(atPath: Repository.sources)
        let names = sources.filter { $0.hasSuffix(".c") }.map { String($0.dropLast(2)) }
        #expect(Set(names) == Set(Self.programs + ["layout", "pools"]))
    }

    @Test("Without io_uring a queue says so, and works")
    func withoutRing() throws {
        let scratch = try Scratch()
        let result = try ProcessRun.run(
            Repository.programs + "/transfers", [scratch.path, "ring"],
            environment: ["IOTRAP_SET": "backend=plain"])
        // IOTRAP_QUEUE_RING is the program's own wish, whatever the configuration says.
        #expect(result.succeeded, "\(result.ending) \(result.output)")
    }
}
