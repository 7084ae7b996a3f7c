"""A private OpenLDAP with people and groups, and the Active Directory attributes a synchronisation reads."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType

import ldap3

from peers.process import Group, Workdir, free_port, require, run

ADMIN_PASSWORD = "admin-secret"

Values = str | bytes | int | Sequence[str | bytes]

_SCHEMA = """
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.2.447 NAME 'mailNickname'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.750 NAME 'groupType'
  EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID'
  EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson STRUCTURAL
  MAY ( sAMAccountName $ userPrincipalName $ proxyAddresses $ mailNickname $ userAccountControl $ objectGUID ) )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn
  MAY ( member $ mail $ description $ sAMAccountName $ proxyAddresses $ mailNickname $ groupType $ objectGUID ) )
"""

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {dir}/ad.schema
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload refint
sizelimit {sizelimit}
database mdb
maxsize 268435456
suffix "{base}"
rootdn "cn=admin,{base}"
rootpw {password}
directory {dir}/db
index objectClass,entryUUID eq
index sAMAccountName,mail eq
overlay memberof
memberof-group-oc group
memberof-member-ad member
memberof-memberof-ad memberOf
overlay refint
refint_attributes member
"""

ACCOUNT_DISABLED = 0x202  # NORMAL_ACCOUNT | ACCOUNTDISABLE
ACCOUNT_NORMAL = 0x200


class Slapd:
    """`uri`, `base`, `admin_dn` and `ADMIN_PASSWORD` are what a client needs. Anonymous reading is allowed.

    `sizelimit` is the most entries a search without paging returns, as Active Directory has one (1000).
    """

    def __init__(self, base: str = "dc=example,dc=org", sizelimit: int = 1000) -> None:
        require("slapd", "slapadd")
        self._workdir = Workdir("slapd")
        self.directory = self._workdir.path
        self.base = base
        self.port = free_port()
        self._sizelimit = sizelimit
        self._group: Group | None = None

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def admin_dn(self) -> str:
        return f"cn=admin,{self.base}"

    @property
    def people(self) -> str:
        return f"ou=people,{self.base}"

    @property
    def groups(self) -> str:
        return f"ou=groups,{self.base}"

    def start(self) -> None:
        fresh = not (self.directory / "db").exists()
        (self.directory / "db").mkdir(exist_ok=True)
        (self.directory / "ad.schema").write_text(_SCHEMA)
        config = self.directory / "slapd.conf"
        config.write_text(
            _CONFIG.format(dir=self.directory, base=self.base, password=ADMIN_PASSWORD, sizelimit=self._sizelimit)
        )
        if fresh:
            label = self.base.split(",")[0].partition("=")[2]
            root = f"dn: {self.base}\nobjectClass: dcObject\nobjectClass: organization\ndc: {label}\no: {label}\n"
            units = "".join(
                f"\ndn: {dn}\nobjectClass: organizationalUnit\nou: {dn.split(',')[0][3:]}\n"
                for dn in (self.people, self.groups)
            )
            run("/usr/sbin/slapadd", "-f", str(config), stdin=root + units)
        log = self.directory / "log"
        self._group = Group(["/usr/sbin/slapd", "-f", str(config), "-h", self.uri, "-d", "0"], log)
        self._group.wait_listening(self.port)

    @property
    def group(self) -> Group:
        assert self._group is not None, "not started"
        return self._group

    def connect(self) -> ldap3.Connection:
        """A bound administrator's connection that raises on errors."""
        server = ldap3.Server("127.0.0.1", self.port, get_info=ldap3.NONE)
        return ldap3.Connection(server, self.admin_dn, ADMIN_PASSWORD, auto_bind=True, raise_exceptions=True)

    def add(self, dn: str, classes: Iterable[str], attributes: Mapping[str, Values]) -> None:
        with self.connect() as connection:
            connection.add(dn, list(classes), dict(attributes))

    def add_person(self, name: str, mail: str, *, enabled: bool = True, aliases: Iterable[str] = ()) -> str:
        """A `user` as Active Directory has them (also an inetOrgPerson); returns its DN."""
        dn = f"cn={name},{self.people}"
        control = ACCOUNT_NORMAL if enabled else ACCOUNT_DISABLED
        attributes: dict[str, Values] = {
            "sn": name.split()[-1],
            "displayName": name,
            "mail": mail,
            "uid": mail.partition("@")[0],
            "sAMAccountName": mail.partition("@")[0][:20],
            "userPrincipalName": mail,
            "proxyAddresses": [f"SMTP:{mail}", *(f"smtp:{alias}" for alias in aliases)],
            "userAccountControl": control,
            "objectGUID": uuid.uuid4().bytes_le,
        }
        self.add(dn, ["user"], attributes)
        return dn

    def add_group(self, name: str, mail: str, members: Iterable[str]) -> str:
        """A `group` with the DNs of its members; returns its DN."""
        dn = f"cn={name},{self.groups}"
        attributes: dict[str, Values] = {"mail": mail, "objectGUID": uuid.uuid4().bytes_le}
        if listed := list(members):
            attributes["member"] = listed
        self.add(dn, ["group"], attributes)
        return dn

    def modify(self, dn: str, changes: Mapping[str, Values | None]) -> None:
        """Replace attributes; None or an empty list removes one."""
        operations = {}
        for name, value in changes.items():
            values = [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]
            operations[name] = [(ldap3.MODIFY_REPLACE, values)]
        with self.connect() as connection:
            connection.modify(dn, operations)

    def rename(self, dn: str, rdn: str, parent: str | None = None) -> str:
        """Change the name and perhaps the parent; returns the new DN."""
        with self.connect() as connection:
            connection.modify_dn(dn, rdn, new_superior=parent)
        return f"{rdn},{parent or dn.partition(',')[2]}"

    def delete(self, dn: str) -> None:
        with self.connect() as connection:
            connection.delete(dn)

    def stop(self) -> None:
        """Graceful end; entries stay for the next `start`."""
        if self._group:
            self._group.terminate()
            self._group = None

    def kill(self) -> None:
        if self._group:
            self._group.kill()
            self._group = None

    def close(self) -> None:
        """End for good: nothing stays."""
        self.kill()
        self._workdir.remove()

    def __enter__(self) -> Slapd:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
