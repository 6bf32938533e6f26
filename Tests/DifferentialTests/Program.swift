import Foundation

/// One program of `Tests/Differential`, as its first line describes it.
struct Program: CustomStringConvertible, Sendable {
    let name: String
    /// What the first line asks for: `direct` (also run on XFS), `hidden-descriptors`, ...
    let wishes: Set<String>

    var description: String { name }
    var path: String { Repository.programs + "/" + name }

    /// All programs whose first line says `differential:`, fortified builds included.
    static let all: [Program] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: Repository.sources)) ?? []
        return files.filter { $0.hasSuffix(".c") }.sorted().flatMap { builds(of: $0) }
    }()

    static let onXFS = all.filter { $0.wishes.contains("direct") }

    private static func builds(of file: String) -> [Program] {
        guard
            let text = try? Repository.text(Repository.sources + "/" + file),
            let first = text.split(separator: "\n", maxSplits: 1).first,
            first.hasPrefix("/* differential:")
        else { return [] }
        let words = first.split(whereSeparator: { " ,;:*/".contains($0) }).map(String.init)
        let wishes = Set(words).intersection(["direct", "hidden-descriptors", "fortify"])
        let name = String(file.dropLast(2))
        let plain = Program(name: name, wishes: wishes)
        return wishes.contains("fortify")
            ? [plain, Program(name: name + "-fortify", wishes: wishes)] : [plain]
    }
}

/// How the library is set for one run.
struct Mode: CustomStringConvertible, Sendable {
    let mode: String
    let settings: String?
    /// The mode is for programs whose names begin so.
    var prefix = ""
    /// Whether the run is recorded.
    var isRecorded = false

    var description: String {
        (settings.map { "\(mode) with \($0)" } ?? mode) + (isRecorded ? ", recorded" : "")
    }

    var environment: [String: String] {
        var variables = ["LD_PRELOAD": Repository.preload, "IOTRAP_MODE": mode]
        variables["IOTRAP_SET"] = settings
        return variables
    }

    static let force = Mode(mode: "force", settings: nil)
    static let all = [
        Mode(mode: "off", settings: nil),
        Mode(mode: "observe", settings: nil),
        Mode(mode: "auto", settings: nil),
        force,
        Mode(mode: "force", settings: "backend=plain"),
        Mode(mode: "force", settings: "split-chunk=4096"),
        // As on kernels where a ring cannot do without a descriptor of its own.
        Mode(mode: "force", settings: "ring-descriptor=visible"),
        emulated,
        // Kernel workers look descriptors up late.
        Mode(mode: "force", settings: "offload=on", prefix: "libaio_close"),
        Mode(mode: "force", settings: nil, isRecorded: true),
    ]
    /// As when /proc/sys/fs/aio-max-nr is used up: contexts of libaio without the kernel's.
    static let emulated = Mode(mode: "force", settings: "aio-context=own", prefix: "libaio_")

    /// Rings that show up among the descriptors show up in listings of them.
    func suits(_ program: Program) -> Bool {
        if program.wishes.contains("hidden-descriptors"), settings == "ring-descriptor=visible" {
            return false
        }
        return program.name.hasPrefix(prefix)
    }
}
