import Testing

/// Every suite of this target, one test after another: two at a time would share the machine.
@Suite(.serialized)
enum Differential {}

extension Differential {
    /// Each program must be unable to tell whether the library is there.
    @Suite("Transparency", .serialized)
    struct TransparencyTests {
        @Test("There are programs to run")
        func programsExist() {
            #expect(Program.all.count > 40, "run make tests-c; sources: \(Repository.sources)")
        }

        @Test("Same with and without the library", arguments: Program.all, Mode.all)
        func sameOnDisk(_ program: Program, _ mode: Mode) async throws {
            guard mode.suits(program) else { return }
            try await compare(program, on: .repository, mode)
        }

        @Test("Same with and without the library on XFS", arguments: Program.onXFS)
        func sameOnXFS(_ program: Program) async throws {
            if let obstacle = XFSBed.obstacle {
                print("SKIP \(program.name) on XFS: \(obstacle)")
                return
            }
            try await compare(program, on: .xfs, .force)
        }

        private func compare(_ program: Program, on bed: Bed, _ mode: Mode) async throws {
            let bare = try await Observer.shared.bareRun(of: program, on: bed)
            if let reason = bare.skipReason {
                print("SKIP \(program.name) in \(mode) on \(bed): \(reason)")
            }
            #expect(!bare.output.contains("BROKEN"), "\(program) is broken bare:\n\(bare.output)")
            let (preloaded, log) = try await Observer.shared.preloadedRun(
                of: program, on: bed, mode)
            guard bare != preloaded else { return }
            var message = Observation.differences(bare: bare, preloaded: preloaded)
            if !log.isEmpty { message += "\nthe library's log:\n\(log)" }
            let again = try await Observer.shared.observe(program, on: bed, environment: [:])
            // What a program does without the library, it may do with it.
            if again == preloaded {
                print("NOTE \(program.name) on \(bed): two bare runs differ:\n\(message)")
                return
            }
            if again != bare {
                message += "\nBut two bare runs differ as well:\n"
                message += Observation.differences(bare: bare, preloaded: again)
            }
            Issue.record("\(program) in mode \(mode) on \(bed):\n\(message)")
        }
    }
}
