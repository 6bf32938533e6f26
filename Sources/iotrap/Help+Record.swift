extension Help {
    /// The text of `iotrap record --help`.
    static let record = """
        usage: iotrap record -o FILE [OPTION]... -- PROGRAM [ARGUMENT]...
               iotrap trace finish FILE

        Runs a program as iotrap run does and makes a trace of its I/O on files and block devices,
        and of that of all programs it starts. Ends when the program ends, as it ends.

        -o FILE         the trace; it is made beside FILE.parts, with mode 0600
        --filter GLOB   only paths that match; may be repeated. '*' matches slashes, too; a pattern
                        without a slash is for the last component of paths
        --max SIZE      at most so much, before compression; 1M and more, such as 2G. What comes
                        after is dropped, and counted
        --anonymise     hashes in the place of paths; equal paths stay equal in the trace
        --force         replaces FILE
        --mode, --set, --pool, --config
                        as of iotrap run; --mode observe changes nothing but records

        trace finish    makes the trace of a recording whose iotrap record was killed. Processes
                        that still record stop

        Exit status: the program's own (128 + signal); 2 for a wrong option or an output that cannot
        be made, before the program is started; 1 when the program succeeded and the trace could
        not be made.

        """
}
