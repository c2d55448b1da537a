#!/usr/bin/env python3
"""console.py PROGRAM...: runs a program on a terminal that survives a hang-up, as a console does.

util-linux's login hangs its terminal up (vhangup(2)) and opens it again. The process at the other end of a pty reads an
error in between, which most programs take for the end. Ctrl-C ends the program, which would ignore it.
"""
import os
import pty
import select
import signal
import sys
import termios
import tty

pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])

before = termios.tcgetattr(0)
tty.setraw(0)
status = None
try:
    while status is None:
        ended, wait_status = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(wait_status)
        for fd in select.select([0, master], [], [], 0.01)[0]:
            try:
                data = os.read(fd, 4096)
            except OSError:
                # A hang-up; the loop ends with the program.
                select.select([], [], [], 0.01)
                continue
            if fd == 0 and b"\x03" in data:
                os.kill(pid, signal.SIGKILL)
            os.write(1 if fd == master else master, data)
finally:
    termios.tcsetattr(0, termios.TCSANOW, before)
sys.exit(status if status >= 0 else 128 - status)
