# What is asked first of a Python over there, of which nothing is known yet: old Pythons have to be able to read this.
import json
import shutil
import subprocess
import sys

channel = globals()["channel"]
sys.path[:] = [place for place in sys.path if place]  # not what happens to lie in the folder where it began
found = {"python": list(sys.version_info[:3]), "executable": sys.executable}
try:
    import pytest_agenttasks

    found["package"] = pytest_agenttasks.__version__
    import pytest_agenttasks.far.host
except Exception as error:  # noqa: BLE001 - GitPython's, where there is no git
    found["missing"] = str(error)
if shutil.which("git"):
    asked = subprocess.run(["git", "version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    found["git"] = asked.stdout.decode("ascii", "replace").strip()
channel.send(json.dumps(found))
