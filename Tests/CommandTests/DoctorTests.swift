import Foundation
import Glibc
import Testing

@Suite("iotrap doctor")
struct DoctorTests {
    /// The lines about one subject.
    private func lines(_ subject: String, _ outcome: Outcome) -> [String] {
        outcome.output.split(separator: "\n").map(String.init).filter {
            $0.split(separator: " ").dropFirst().first == Substring(subject)
        }
    }

    /// The first line about one subject.
    private func line(_ subject: String, _ outcome: Outcome) throws -> String {
        try #require(lines(subject, outcome).first, "\(outcome.output)\(outcome.errors)")
    }

    @Test("Every subject has a line, and the verdict follows from them")
    func verdict() throws {
        let outcome = try Scratch().iotrap(["doctor"])
        for subject in [
            "kernel", "sysctl", "seccomp", "memlock", "io_uring", "aio-max-nr", "libaio",
            "posix-aio", "library", "settings", "statistics",
        ] {
            let found = lines(subject, outcome)
            #expect(!found.isEmpty, "\(subject)")
            for line in found {
                #expect(["ok", "warn", "fail"].contains(line.split(separator: " ")[0]))
            }
        }
        let fails = outcome.output.contains("\nfail ") || outcome.output.hasPrefix("fail ")
        #expect(outcome.status == (fails ? 1 : 0), "\(outcome.output)")
        #expect(outcome.output.hasSuffix(fails ? "accelerated\n" : "acceleration works here\n"))
        #expect(try line("library", outcome).contains(builtLibrary))
    }

    @Test("Every warning and failure comes with a remedy")
    func remedies() throws {
        let outcome = try Scratch().iotrap(["doctor"], ["IOTRAP_MODE": "nonsense"])
        let all = outcome.output.split(separator: "\n")
        for (index, line) in all.enumerated() where line.hasPrefix("warn") || line.hasPrefix("fail")
        {
            #expect(all[index + 1].contains("  -> "), "\(line)")
        }
        #expect(try line("settings", outcome).contains("'nonsense' in IOTRAP_MODE"))
        #expect(outcome.status == 1)
    }

    @Test("What asynchronous programs get follows the settings, and never fails anything")
    func asynchronous() throws {
        let scratch = try Scratch()
        let plain = try scratch.iotrap(["doctor"])
        let off = try scratch.iotrap(["doctor"], ["IOTRAP_SET": "libaio=off,posix-aio=off"])
        #expect(off.status == plain.status)
        let kernels = " libaio=off: requests stay with the kernel's own"
        #expect(try line("libaio", off).hasSuffix(kernels))
        let glibcs = " posix-aio=off: requests stay with glibc's threads"
        #expect(try line("posix-aio", off).hasSuffix(glibcs))
        let observing = try scratch.iotrap(["doctor"], ["IOTRAP_MODE": "observe"])
        #expect(try line("libaio", observing).contains(" mode observe: "))
        guard plain.status == 0 else {
            print("SKIP asynchronous: io_uring does not work here")
            return
        }
        #expect(try line("libaio", plain).contains("a ring for each thread"))
        #expect(try line("posix-aio", plain).contains("one thread with a ring"))
    }

    @Test("The kernel's limit of libaio is told as the kernel tells it")
    func libaioLimit() throws {
        let path = "/proc/sys/fs/aio-max-nr"
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            print("SKIP libaioLimit: no \(path)")
            return
        }
        let most = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let line = try line("aio-max-nr", try Scratch().iotrap(["doctor"]))
        #expect(line.contains(" of \(most) events"))
    }

    @Test("Settings and a library that keep everything plain are failures")
    func setup() throws {
        let scratch = try Scratch()
        for variables in [["IOTRAP_MODE": "observe"], ["IOTRAP_SET": "backend=plain"]] {
            let outcome = try scratch.iotrap(["doctor"], variables)
            #expect(outcome.status == 1)
            #expect(try line("settings", outcome).hasPrefix("fail "))
        }
        let outcome = try scratch.run(try scratch.installation(library: nil), ["doctor"])
        #expect(outcome.status == 1)
        #expect(try line("library", outcome).hasPrefix("fail "))
    }

    @Test("A statistics directory that cannot be used is a warning")
    func statistics() throws {
        let scratch = try Scratch()
        chmod(scratch.statistics, 0o777)
        let outcome = try scratch.iotrap(["doctor"])
        #expect(try line("statistics", outcome).hasPrefix("warn "))
        #expect(try line("statistics", outcome).contains(scratch.statistics))
    }

    @Test("Arguments are refused")
    func arguments() throws {
        expectRefusal(try Scratch().iotrap(["doctor", "now"]), status: 2, naming: "'now'")
        expectRefusal(try Scratch().iotrap(["doctor", "--all"]), status: 2, naming: "'--all'")
    }

    /// Puts a seccomp filter over a program that answers io_uring_setup with the given action.
    private static let sandbox = """
        #include <errno.h>
        #include <linux/filter.h>
        #include <linux/seccomp.h>
        #include <stddef.h>
        #include <stdlib.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>

        int main(int argc, char **argv)
        {
            struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, (unsigned int)strtoul(argv[1], NULL, 0)),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            };
            struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

            if (argc < 3 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
                return 80;
            if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
                return 81;
            execv(argv[2], argv + 2);
            return 82;
        }
        """

    /// Actions of <linux/seccomp.h>.
    private enum Action: String {
        case refuse = "0x00050001"  // SECCOMP_RET_ERRNO | EPERM
        case missing = "0x00050026"  // SECCOMP_RET_ERRNO | ENOSYS
        case kill = "0x80000000"  // SECCOMP_RET_KILL_PROCESS
        case allow = "0x7fff0000"  // SECCOMP_RET_ALLOW
    }

    private func doctor(
        under action: Action, _ variables: [String: String] = [:]
    ) throws -> Outcome {
        let scratch = try Scratch()
        let helper = try scratch.compile(Self.sandbox)
        return try scratch.run(helper, [action.rawValue, builtCommand, "doctor"], variables)
    }

    @Test("A seccomp filter that refuses io_uring is named")
    func refusingFilter() throws {
        if lacksCompiler() { return }
        for variables in [[:], ["IOTRAP_SET": "io-uring=on"]] {
            let outcome = try doctor(under: .refuse, variables)
            #expect(outcome.status == 1, "\(outcome.errors)")
            let line = try line("io_uring", outcome)
            #expect(line.hasPrefix("fail ") && line.contains("Operation not permitted"))
            for subject in ["libaio", "posix-aio"] {
                #expect(try self.line(subject, outcome).contains("no io_uring: requests stay"))
            }
            #expect(outcome.output.contains("seccomp filter refuses it"))
            #expect(outcome.output.contains("pass-through only"))
        }
    }

    @Test("A kernel without io_uring is named")
    func missingSystemCall() throws {
        if lacksCompiler() { return }
        let outcome = try doctor(under: .missing)
        #expect(outcome.status == 1)
        #expect(try line("io_uring", outcome).contains("Function not implemented"))
        #expect(outcome.output.contains("CONFIG_IO_URING"))
    }

    @Test("A filter that kills for io_uring kills the trial, not the doctor")
    func killingFilter() throws {
        if lacksCompiler() { return }
        let outcome = try doctor(under: .kill)
        #expect(outcome.status == 1, "\(outcome.errors)")
        #expect(try line("io_uring", outcome).contains("killed by signal \(SIGSYS)"))
    }

    @Test("A filter that allows io_uring keeps the library from trying, unless told to")
    func allowingFilter() throws {
        if lacksCompiler() { return }
        let careful = try doctor(under: .allow)
        #expect(careful.status == 1)
        #expect(try line("seccomp", careful).hasPrefix("fail "))
        let bold = try doctor(under: .allow, ["IOTRAP_SET": "io-uring=on"])
        #expect(try line("seccomp", bold).hasPrefix("ok "))
        // Beyond the filter nothing differs from a run without it.
        #expect(bold.status == (try Scratch().iotrap(["doctor"]).status))
    }
}
