PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE action (
        name TEXT PRIMARY KEY, position INTEGER NOT NULL, colour INTEGER NOT NULL,
        key TEXT NOT NULL, description TEXT NOT NULL
    );
INSERT INTO "action" VALUES('groom',0,0,'b','');
INSERT INTO "action" VALUES('eat',1,1,'','');
INSERT INTO "action" VALUES('dig',2,2,'','with paws');
INSERT INTO "action" VALUES('sit',3,3,'1','');
CREATE TABLE edit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        video TEXT NOT NULL REFERENCES video ON DELETE CASCADE, track INTEGER NOT NULL,
        time REAL NOT NULL, annotator TEXT NOT NULL, removed TEXT NOT NULL,
        added TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('done', 'undone', 'dropped'))
    );
INSERT INTO "edit" VALUES(1,'aaaaaaaaaaaaaaaa',1,1.79592845108238124e+09,'Anna','[]','[[0, 3, "groom", "drawn", "", "Anna"], [4, 5, "eat", "imported", "why?", "Anna"]]','done');
INSERT INTO "edit" VALUES(2,'aaaaaaaaaaaaaaaa',1,1795928451.08343,'Bernd','[[4, 5, "eat", "imported", "why?", "Anna"]]','[[5, 6, "eat", "corrected", "", "Bernd"]]','done');
INSERT INTO "edit" VALUES(3,'bbbbbbbbbbbbbbbb',3,1.79592845108502435e+09,'Anna','[]','[[2, 2, "dig", "drawn", "", "Anna"]]','done');
INSERT INTO "edit" VALUES(4,'bbbbbbbbbbbbbbbb',2,1.79592845108588862e+09,'','[]','[[1, 2, "sit", "drawn", "", ""]]','undone');
CREATE TABLE run (
        name TEXT PRIMARY KEY, path TEXT NOT NULL, track TEXT NOT NULL, made REAL NOT NULL,
        figures TEXT NOT NULL
    );
INSERT INTO "run" VALUES('model-1','runs/model-1','main',1.79592845108836674e+09,'{"after": 1}');
CREATE TABLE segment (
        id INTEGER PRIMARY KEY, track INTEGER NOT NULL REFERENCES track ON DELETE CASCADE,
        start INTEGER NOT NULL, stop INTEGER NOT NULL, label TEXT NOT NULL,
        origin TEXT NOT NULL CHECK (origin IN ('predicted', 'corrected', 'drawn', 'imported')),
        comment TEXT NOT NULL, annotator TEXT NOT NULL, CHECK (0 <= start AND start <= stop)
    );
INSERT INTO "segment" VALUES(1,1,0,3,'groom','drawn','','Anna');
INSERT INTO "segment" VALUES(2,1,5,6,'eat','corrected','','Bernd');
INSERT INTO "segment" VALUES(3,3,2,2,'dig','drawn','','Anna');
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "setting" VALUES('token','token of a test');
INSERT INTO "setting" VALUES('adjust','{"gamma": 1.0}');
CREATE TABLE track (
        id INTEGER PRIMARY KEY, video TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
        name TEXT NOT NULL, UNIQUE (video, name)
    );
INSERT INTO "track" VALUES(1,'aaaaaaaaaaaaaaaa','main');
INSERT INTO "track" VALUES(2,'bbbbbbbbbbbbbbbb','main');
INSERT INTO "track" VALUES(3,'bbbbbbbbbbbbbbbb','left');
CREATE TABLE video (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, media TEXT, features TEXT, times BLOB NOT NULL,
        complete INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 0, added REAL NOT NULL,
        removed REAL
    );
INSERT INTO "video" VALUES('aaaaaaaaaaaaaaaa','mouse_01',NULL,'a.npy',X'00000000000000009A9999999999B93F9A9999999999C93F333333333333D33F9A9999999999D93F000000000000E03F333333333333E33F666666666666E63F9A9999999999E93FCDCCCCCCCCCCEC3F000000000000F03F',1,2,1.79592845107960987e+09,NULL);
INSERT INTO "video" VALUES('bbbbbbbbbbbbbbbb','mouse_02',NULL,'b.npy',X'00000000000000009A9999999999B93F9A9999999999C93F333333333333D33F9A9999999999D93F000000000000E03F333333333333E33F666666666666E63F9A9999999999E93FCDCCCCCCCCCCEC3F000000000000F03F',0,3,1.79592845108050298e+09,NULL);
CREATE INDEX segment_of_track ON segment (track);
CREATE INDEX edit_of_video ON edit (video, state);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('edit',4);
COMMIT;
