import Foundation
import Glibc
import IOTrace
import Testing

extension Record {
    /// What the options of `iotrap record` do, and what it refuses.
    @Suite("Options of record", .serialized)
    struct OptionTests {
        @Test("Only what a filter matches is recorded")
        func filter() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("sync_calls") else { return }
            for (pattern, files) in [
                ("file[13].dat", ["file1.dat", "file3.dat"]), ("*/data/*2*", ["file2.dat"]),
                ("nothing", []),
            ] {
                let outcome = try scratch.record(
                    ["--force", "--filter", pattern, "--filter", "file0.dat"],
                    [program, scratch("data"), "4"])
                #expect(outcome.status == 0, "\(outcome.errors)")
                let names = Set(try scratch.lines().map { String($0.split(separator: " ")[1]) })
                #expect(names == Set(files + ["file0.dat"]), "\(pattern)")
            }
        }

        @Test("Anonymised traces have no name, and keep equal paths equal")
        func anonymised() throws {
            let scratch = try Scratch()
            guard let program = try scratch.program("sync_calls") else { return }
            let outcome = try scratch.record(["--anonymise"], [program, scratch("data"), "3"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            var reader = try TraceReader(path: scratch("trace"))
            #expect(reader.header.isAnonymised)
            while try reader.next() != nil {}
            let files = (0..<reader.fileCount).compactMap { reader.file(UInt32($0))?.path }
            // Opened for reading and writing, for appending, and cut by their path.
            #expect(files.count == 9 && Set(files).count == 3)
            #expect(Set(files.map { $0.split(separator: "/").dropLast() }).count == 1)
            let bytes = try Data(contentsOf: URL(fileURLWithPath: scratch("trace")))
            for name in ["file0", "data", "iotrap-record", "sync_calls"] {
                #expect(bytes.range(of: Data(name.utf8)) == nil, "\(name) is in the trace")
            }
            #expect(!reader.metadata.values.contains { $0.contains("sync_calls") })
        }

        @Test("The trace is private, and nothing else is left")
        func leftovers() throws {
            let before = buffersInMemory()
            let scratch = try Scratch()
            let outcome = try scratch.record([], ["/bin/sh", "-c", "echo x >data/a; cat data/a"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output == "x\n")
            var status = stat()
            #expect(stat(scratch("trace"), &status) == 0 && status.st_mode & 0o7777 == 0o600)
            #expect(!scratch.exists("trace.parts"))
            #expect(buffersInMemory() == before)
        }

        @Test("An existing file is replaced with --force only, and a link never")
        func existing() throws {
            let scratch = try Scratch()
            let old = Data("precious".utf8)
            try old.write(to: URL(fileURLWithPath: scratch("trace")))
            let refused = try scratch.record([], ["/bin/sh", "-c", "echo ran >data/ran"])
            #expect(refused.status == 2 && refused.errors.contains("--force"), "\(refused.errors)")
            #expect(try Data(contentsOf: URL(fileURLWithPath: scratch("trace"))) == old)
            #expect(!scratch.exists("data/ran") && !scratch.exists("trace.parts"))
            #expect(try scratch.record(["--force"], ["/bin/true"]).status == 0)
            #expect(try TraceReader(path: scratch("trace")).header.isOrdered)
            unlink(scratch("trace"))
            symlink(scratch("elsewhere"), scratch("trace"))
            let link = try scratch.record(["--force"], ["/bin/true"])
            #expect(link.status == 2 && link.errors.contains("not a regular file"))
            #expect(!scratch.exists("elsewhere"))
        }

        @Test(
            "Wrong options are refused before the program starts",
            arguments: [
                (["record", "-o", "t"], "no program"),
                (["record", "--", "/bin/true"], "no output"),
                (["record", "-o", "no/where/t", "--", "/bin/true"], "no/where"),
                (["record", "-o", "t", "--max", "12", "--", "/bin/true"], "'12' of --max"),
                (["record", "-o", "t", "--max", "x", "--", "/bin/true"], "'x' of --max"),
                (["record", "-o", "t", "--mode", "off", "--", "/bin/true"], "observe"),
                (["record", "-o", "t", "--mode", "odd", "--", "/bin/true"], "'odd'"),
                (["record", "-o", "t", "--filter", "", "--", "/bin/true"], "--filter"),
                (["record", "-o", "t", "--odd", "--", "/bin/true"], "--odd"),
                (["trace", "finish", "t"], "t.parts"),
            ])
        func refused(arguments: [String], reason: String) throws {
            let scratch = try Scratch()
            let outcome = try scratch.iotrap(arguments)
            #expect(outcome.status != 0)
            #expect(outcome.errors.hasPrefix("iotrap: "), "\(outcome.errors)")
            #expect(outcome.errors.contains(reason), "\(outcome.errors)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
            #expect(!scratch.exists("t") && !scratch.exists("t.parts"))
        }

        @Test("An output that cannot be written is refused before the program starts")
        func unwritable() throws {
            let scratch = try Scratch()
            let outcome = try scratch.iotrap([
                "record", "-o", "/proc/trace", "--", "/bin/sh", "-c", "echo ran >data/ran",
            ])
            #expect(outcome.status == 2 && outcome.errors.contains("/proc/trace.parts"))
            #expect(!scratch.exists("data/ran"))
        }

        @Test("A program that is missing leaves nothing behind")
        func missing() throws {
            let before = buffersInMemory()
            let scratch = try Scratch()
            let outcome = try scratch.record([], ["/no/such/program"])
            #expect(outcome.status == 127)
            #expect(!scratch.exists("trace") && !scratch.exists("trace.parts"))
            #expect(buffersInMemory() == before)
        }

        @Test("A wrong IOTRAP_TRACE is a line in the log, and the program runs")
        func wrongVariable() throws {
            let scratch = try Scratch()
            let library = repository.appendingPathComponent("build/lib/libiotrap-preload.so").path
            for value in ["relative", "/nonexistent/recording", scratch("data")] {
                let outcome = try scratch.run(
                    ["/bin/sh", "-c", "echo fine"],
                    [
                        "LD_PRELOAD": library, "IOTRAP_TRACE": value, "IOTRAP_LOG": scratch("log"),
                    ])
                #expect(outcome.status == 0 && outcome.output == "fine\n")
                #expect(try scratch.text("log").contains("IOTRAP_TRACE is '\(value.prefix(60))"))
                unlink(scratch("log"))
            }
        }
    }
}
