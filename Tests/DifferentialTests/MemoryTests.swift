import Foundation
import Testing

extension Differential {
    /// What the library adds to the resident memory of a process.
    @Suite("Resident memory", .serialized)
    struct MemoryTests {
        private struct Figures {
            var before = 0
            var threads = 1
            var after = 0

            var perThread: Int { (after - before) / threads }
        }

        private func measure(_ environment: [String: String]) throws -> Figures? {
            let scratch = try Scratch()
            let result = try ProcessRun.run(
                Repository.programs + "/resident", [scratch.path], environment: environment)
            if result.ending == "exit 77" {
                print("SKIP resident memory: \(result.output)")
                return nil
            }
            try #require(result.succeeded, "\(result.ending): \(result.output)\(result.errors)")
            var figures = Figures()
            for line in result.output.split(separator: "\n") {
                let words = line.split(separator: " ")
                let value = try #require(words.last.flatMap { Int($0) })
                switch words[0] {
                case "before": figures.before = value
                case "threads": figures.threads = value
                default: figures.after = value
                }
            }
            return figures
        }

        @Test(
            "At most 1 MiB until the first eligible call, then 256 KiB a thread",
            arguments: ["observe", "auto", "force"])
        func bounds(_ mode: String) throws {
            let preload = ["LD_PRELOAD": Repository.preload, "IOTRAP_MODE": mode]
            guard let bare = try measure([:]), let with = try measure(preload) else { return }
            #expect(
                with.before - bare.before <= 1024,
                "\(with.before - bare.before) KiB before the first eligible call")
            #expect(
                with.perThread - bare.perThread <= 256,
                "\(with.perThread - bare.perThread) KiB a thread")
        }
    }
}
