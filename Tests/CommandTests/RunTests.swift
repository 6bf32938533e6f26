import Foundation
import Glibc
import Testing

@Suite("iotrap run: what the program gets and gives")
struct RunTests {
    @Test("The program's exit status is the command's")
    func exitStatus() throws {
        let scratch = try Scratch()
        for options in [[], ["--stats"]] {
            for status: Int32 in [0, 1, 37, 255] {
                let outcome = try scratch.iotrap(
                    ["run"] + options + ["sh", "-c", "exit \(status)"])
                #expect(outcome.status == status)
            }
        }
    }

    @Test("A program that dies by a signal gives 128 + its number")
    func signalStatus() throws {
        let scratch = try Scratch()
        for options in [[], ["--stats"]] {
            for signal in [SIGTERM, SIGKILL, SIGABRT] {
                let outcome = try scratch.iotrap(
                    ["run"] + options + ["sh", "-c", "ulimit -c 0; kill -\(signal) $$"])
                #expect(outcome.status == 128 + signal)
            }
        }
    }

    @Test("Arguments arrive byte for byte")
    func arguments() throws {
        let scratch = try Scratch()
        let command = """
            "$0" run -- printf '[%s]' "$(printf '\\377\\001 x')" '' '--mode' 'a b' \
            | od -An -tx1 | tr -d ' \\n'
            """
        for options in ["run", "run --stats"] {
            let script = command.replacingOccurrences(of: "run", with: options)
            let outcome = try scratch.run("/bin/sh", ["-c", script, builtCommand])
            #expect(outcome.output == "5bff0120785d5b5d5b2d2d6d6f64655d5b6120625d")
        }
    }

    @Test("Options end at the program's name or at --")
    func endOfOptions() throws {
        let scratch = try Scratch()
        #expect(try scratch.iotrap(["run", "echo", "--mode"]).output == "--mode\n")
        #expect(try scratch.iotrap(["run", "--", "echo", "--", "x"]).output == "-- x\n")
    }

    @Test("Without --stats the program takes the command's place")
    func replaces() throws {
        let scratch = try Scratch()
        let child = try scratch.start(builtCommand, ["run", "sh", "-c", "echo $$"])
        #expect(try child.wait().output == "\(child.processID)\n")
    }

    @Test(
        "--stats passes signals on and waits for the program's own end",
        arguments: [
            (SIGTERM, "TERM"), (SIGINT, "INT"), (SIGHUP, "HUP"),
        ])
    func forwarding(_ number: Int32, _ name: String) throws {
        let scratch = try Scratch()
        let ready = scratch.path + "/ready"
        let script = "trap 'exit 9' \(name); : > \(ready); while :; do sleep 0.02; done"
        let child = try scratch.start(builtCommand, ["run", "--stats", "sh", "-c", script])
        #expect(try eventually { access(ready, F_OK) == 0 })
        kill(child.processID, number)
        #expect(try child.wait().status == 9)
    }

    @Test("--stats leaves signal masks and ignored signals as they were")
    func signalState() throws {
        let scratch = try Scratch()
        let show = "grep -E '^Sig(Blk|Ign):' /proc/self/status"
        let plain = try scratch.run("/bin/sh", ["-c", show])
        let stats = try scratch.iotrap(["run", "--stats", "sh", "-c", show])
        #expect(stats.output == plain.output)
    }

    @Test("The command's own descriptors do not reach the program")
    func descriptors() throws {
        let scratch = try Scratch()
        for options in [[], ["--stats"]] {
            let outcome = try scratch.iotrap(["run"] + options + ["ls", "/proc/self/fd"])
            // 3 is the directory that ls reads.
            #expect(outcome.output == "0\n1\n2\n3\n")
        }
    }
}
