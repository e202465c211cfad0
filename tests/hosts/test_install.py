"""What cmake --install puts where, and that programs find it: pkg-config, CMake package, run path, DESTDIR."""

import re
import shutil

import pytest
from programs import ROOT, need, run

pytestmark = pytest.mark.no_asan

HOST = """
#include <stdio.h>
#include <simgraft/simgraft.h>
int main(void)
{
    sg_surrogate *surrogate;
    sg_error error;
    printf("%s %d", sg_version(), (int)sg_surrogate_open("/nowhere.sg", &surrogate, &error));
    return 0;
}
"""


def expected():
    version = re.search(r"project\(.* VERSION (\S+)\)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    return version, f"{version} 11"  # SG_ERR_NOT_FOUND


def dynamic(path):
    return run(["readelf", "-d", path]).stdout


def test_shared_library_has_a_versioned_soname(installed):
    need("readelf")
    version, _ = expected()
    links = {p.name: p.is_symlink() for p in installed.libdir.glob("libsimgraft.so*")}
    assert links == {"libsimgraft.so": True, "libsimgraft.so.0": True, f"libsimgraft.so.{version}": False}
    assert "soname: [libsimgraft.so.0]" in dynamic(installed.libdir / "libsimgraft.so")


def test_run_path_of_the_library_leads_to_libraries_of_the_system_only(installed):
    need("readelf")
    path = re.search(r"R(?:UN)?PATH.*\[(.*)\]", dynamic(installed.libdir / "libsimgraft.so"))
    assert str(installed.build) not in (path.group(1) if path else "")


def test_pkg_config_links_a_program(installed, tmp_path):
    (tmp_path / "host.c").write_text(HOST)
    program = installed.compile("cc", ["host.c"], tmp_path / "host")
    version, says = expected()
    assert run([program]).stdout == says
    assert installed.flags("--modversion", "simgraft") == [version]


def test_static_library_links_with_the_documented_line_and_needs_no_shared_one(installed, tmp_path):
    need("readelf")
    (tmp_path / "host.c").write_text(HOST)
    program = installed.compile("cc", ["host.c"], tmp_path / "host", package="simgraft-static")
    assert run([program]).stdout == expected()[1]
    assert "simgraft" not in "".join(re.findall(r"NEEDED.*", dynamic(program)))


def test_static_library_has_no_name_but_ours(installed):
    need("nm")
    lines = run(["nm", "-g", "--defined-only", installed.libdir / "libsimgraft.a"]).stdout.splitlines()
    names = {line.split()[-1] for line in lines if len(line.split()) == 3}
    assert "sg_surrogate_open" in names and [n for n in names if not n.startswith("sg_")] == []


@pytest.mark.parametrize("target", ["simgraft::simgraft", "simgraft::static"])
def test_cmake_package_links_a_program(installed, tmp_path, target):
    (tmp_path / "host.c").write_text(HOST)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(host LANGUAGES C)\nfind_package(simgraft 0.1 REQUIRED)\n"
        f"add_executable(host host.c)\ntarget_link_libraries(host PRIVATE {target})\n"
        "message(STATUS \"module ${simgraft_FORTRAN_SOURCE}\")\n"
    )
    told = run(["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed.prefix}"]).stdout
    run(["cmake", "--build", tmp_path / "build"])
    assert run([tmp_path / "build" / "host"]).stdout == expected()[1]
    assert f"module {installed.prefix}/share/simgraft/fortran/simgraft.f90" in told


def test_cmake_package_compiles_the_fortran_module_with_its_target(installed, tmp_path):
    need("gfortran")
    (tmp_path / "host.f90").write_text("program host\n  use simgraft\n  print '(a)', sg_version()\nend program\n")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(host LANGUAGES Fortran)\nfind_package(simgraft 0.1 REQUIRED)\n"
        "add_executable(host host.f90)\ntarget_link_libraries(host PRIVATE simgraft::fortran)\n"
    )
    run(["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed.prefix}"])
    run(["cmake", "--build", tmp_path / "build"])
    assert run([tmp_path / "build" / "host"]).stdout.strip() == expected()[0]


def test_destdir_leaves_no_trace_and_the_tree_may_be_moved(installed, tmp_path):
    stage, moved = tmp_path / "stage", tmp_path / "moved"
    run(["cmake", "--install", installed.build, "--prefix", "/opt/simgraft"], env={"DESTDIR": str(stage)})
    tree = stage / "opt" / "simgraft"
    assert [p.name for p in stage.iterdir()] == ["opt"] and (tree / "include" / "simgraft" / "simgraft.h").is_file()
    for path in (p for p in tree.rglob("*") if p.suffix in (".pc", ".cmake")):
        assert "stage" not in path.read_text() and "/opt/simgraft" not in path.read_text(), path
    shutil.move(tree, moved)
    (tmp_path / "host.c").write_text(HOST)
    program = type(installed)(moved, installed.build).compile("cc", ["host.c"], tmp_path / "host")
    assert run([program]).stdout == expected()[1]


def test_headers_are_those_of_the_sources(installed):
    own = {p.name: p.read_text() for p in (ROOT / "csrc" / "include" / "simgraft").glob("*.h")}
    assert own == {p.name: p.read_text() for p in (installed.prefix / "include" / "simgraft").iterdir()}
    umbrella = own.pop("simgraft.h")
    assert set(re.findall(r'#include "simgraft/(\S+)"', umbrella)) == set(own)
